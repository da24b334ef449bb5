"""Images, from wherever the user has them."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest

from lmstudio_integrations import LMStudioValueError
from lmstudio_integrations.client import images
from lmstudio_integrations.client.images import read_image

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"
KINDS = [
    (PNG, ".png"),
    (b"\xff\xd8\xff\xe0rest", ".jpg"),
    (b"GIF89arest", ".gif"),
    (b"BMrest", ".bmp"),
    (b"RIFF\x00\x00\x00\x00WEBPVP8 ", ".webp"),
]


@pytest.mark.parametrize(("data", "ending"), KINDS, ids=[ending for _, ending in KINDS])
def test_bytes_get_a_name_that_fits(data: bytes, ending: str) -> None:
    assert read_image(data) == (f"image{ending}", base64.b64encode(data).decode())


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, io.BytesIO])
def test_bytes_of_every_kind(make: Any) -> None:
    assert read_image(make(PNG)) == ("image.png", base64.b64encode(PNG).decode())


def test_a_path_gives_its_name(tmp_path: Path) -> None:
    path = tmp_path / "my cat.png"
    path.write_bytes(PNG)
    for source in (path, str(path)):
        assert read_image(source)[0] == "my cat.png"
    with path.open("rb") as file:
        assert read_image(file)[0] == "my cat.png"
    assert read_image(path, "dog.png")[0] == "dog.png"


def test_a_missing_file_is_python_s_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "nothing.png")


@pytest.mark.parametrize(
    "source", [None, 5, object(), ["a"], b"", b"text", b"RIFF....WAVE", io.StringIO("text"), io.BytesIO(b"")]
)
def test_what_is_no_image_is_refused(source: Any) -> None:
    with pytest.raises(LMStudioValueError):
        read_image(source)


@pytest.mark.parametrize("name", [5, Path("x.png"), b"x.png"])
def test_a_name_is_text(name: Any) -> None:
    with pytest.raises(LMStudioValueError, match="name"):
        read_image(PNG, name)


def test_an_image_that_lm_studio_would_cut_the_connection_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MOST_BYTES", len(PNG) - 1)
    with pytest.raises(LMStudioValueError, match="at the most"):
        read_image(PNG)
