"""Images, from wherever the user has them."""

from __future__ import annotations

import base64
import io
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lmstudio_integrations import Client, LMStudioConnectionError, LMStudioValueError
from lmstudio_integrations.client import images
from lmstudio_integrations.client.images import ImageFile, ImagePart, image_part, read_image
from lmstudio_integrations.emulator import Emulator
from tests.client.failure_modes.misbehaving_servers import Listener
from tests.movable_clock import MovableClock

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"
KINDS = [
    (PNG, ".png"),
    (b"\xff\xd8\xff\xe0rest", ".jpg"),
    (b"GIF89arest", ".gif"),
    (b"BMrest", ".bmp"),
    (b"RIFF\x00\x00\x00\x00WEBPVP8 ", ".webp"),
]


@pytest.mark.parametrize(("data", "ending"), KINDS, ids=[ending for _, ending in KINDS])
def test_image_bytes_get_a_name_with_the_right_extension(data: bytes, ending: str) -> None:
    assert read_image(data) == ImageFile(f"image{ending}", data)


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, io.BytesIO])
def test_image_content_of_every_type_is_accepted(make: Any) -> None:
    assert read_image(make(PNG)) == ImageFile("image.png", PNG)


def test_image_path_gives_the_file_name(tmp_path: Path) -> None:
    path = tmp_path / "my cat.png"
    path.write_bytes(PNG)
    for source in (path, str(path)):
        assert read_image(source).name == "my cat.png"
    with path.open("rb") as file:
        assert read_image(file).name == "my cat.png"
    assert read_image(path, "dog.png").name == "dog.png"


def test_missing_image_file_raises_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "nothing.png")


@pytest.mark.parametrize(
    "source", [None, 5, object(), ["a"], b"", b"text", b"RIFF....WAVE", io.StringIO("text"), io.BytesIO(b"")]
)
def test_content_that_is_no_image_is_refused(source: Any) -> None:
    with pytest.raises(LMStudioValueError):
        read_image(source)


@pytest.mark.parametrize("name", [5, Path("x.png"), b"x.png"])
def test_image_name_must_be_text(name: Any) -> None:
    with pytest.raises(LMStudioValueError, match="name"):
        read_image(PNG, name)


def test_image_above_the_servers_frame_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_IMAGE_BYTES", len(PNG) - 1)
    with pytest.raises(LMStudioValueError, match="at most"):
        read_image(PNG)


def test_image_part_from_every_source_reads_the_same_content(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    text = base64.b64encode(PNG).decode()
    sources: list[Any] = [
        PNG,
        path,
        str(path),
        io.BytesIO(PNG),
        f"data:image/png;base64,{text}",
        f"data:;base64,{text}",
    ]
    assert {ImagePart(source).read().data for source in sources} == {PNG}
    assert ImagePart.from_base64(text).read().data == PNG


def test_image_part_name_without_a_path_depends_on_the_content_alone() -> None:
    assert ImagePart(PNG).read().name == ImagePart(io.BytesIO(PNG)).read().name
    assert ImagePart(PNG).read().name != ImagePart(PNG + b"!").read().name


def test_image_part_of_a_path_is_read_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    part = ImagePart(path)
    with pytest.raises(FileNotFoundError):
        part.read()
    path.write_bytes(PNG)
    assert part.read() == ImageFile("cat.png", PNG)


@pytest.mark.parametrize("source", ["data:image/png,abc", "data:image/png;base64,***", b"%PDF-1.7", 5, None])
def test_image_part_of_no_image_raises_value_error(source: Any) -> None:
    with pytest.raises(LMStudioValueError):
        ImagePart(source)


def test_image_part_address_is_not_fetched_when_made() -> None:
    assert ImagePart("https://example.invalid/a.png").url == "https://example.invalid/a.png"


def _answering(response: bytes) -> Listener:
    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(response)

    return Listener(behave)


def _fetched(server: Listener, path: str = "/a.png") -> ImageFile:
    return ImagePart(server.url.replace("ws://", "http://") + path).read()


@pytest.mark.parametrize("length", [b"", b"Content-Length: %d\r\n" % len(PNG)])
def test_fetched_image_is_read_to_its_end(length: bytes) -> None:
    with _answering(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + PNG) as server:
        assert _fetched(server).data == PNG


@pytest.mark.parametrize(
    ("response", "path"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + PNG, "/a.png"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + PNG, "/a.png"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "/a.png"),
        (b"no HTTP\r\n\r\n", "/a.png"),
        (b"", "/a.png"),
        (b"", "/a b.png"),
    ],
    ids=["cut", "cut within a chunk", "not found", "no HTTP", "closed", "address with a blank"],
)
def test_image_that_does_not_arrive_complete_raises_connection_error(response: bytes, path: str) -> None:
    with _answering(response) as server, pytest.raises(LMStudioConnectionError, match="could not be fetched"):
        _fetched(server, path)


def test_image_part_survives_its_json_form() -> None:
    part = ImagePart(PNG, "cat.png")
    assert image_part(part.to_history(), "message 0") == part


@pytest.mark.parametrize(
    "part",
    [{"type": "image"}, {"type": "image", "path": "a", "url": "b"}, {"type": "image", "data": PNG, "size": 3}, 5],
)
def test_image_part_with_wrong_keys_raises_and_names_the_message(part: Any) -> None:
    with pytest.raises(LMStudioValueError, match="message 3"):
        image_part(part, "message 3")


@pytest.mark.parametrize("path", ["no such file.png", "a\0b.png"])
def test_chat_with_an_image_that_cannot_be_read_raises_value_error(lmstudio_emulator: Emulator, path: str) -> None:
    history = [{"role": "user", "content": ["What is it?", ImagePart(path)]}]
    with Client(lmstudio_emulator.url) as client, pytest.raises(LMStudioValueError, match=r"ImagePart.*cannot be read"):
        client.llm.just_in_time("emulator/chat").respond(history)


def test_image_that_arrives_too_slowly_raises_connection_error(
    lmstudio_emulator: Emulator, clock: MovableClock
) -> None:
    accepted, ended = threading.Event(), threading.Event()

    def behave(connection: socket.socket) -> None:
        accepted.set()
        ended.wait(30)

    with Listener(behave) as server, Client(lmstudio_emulator.url) as client, ThreadPoolExecutor(1) as pool:
        image = ImagePart(server.url.replace("ws://", "http://") + "/a.png")
        history = [{"role": "user", "content": ["What is it?", image]}]
        model = client.llm.just_in_time("emulator/chat")
        answer = pool.submit(model.respond, history, fetch_images=True)
        assert accepted.wait(10)
        clock.advance(300)
        with pytest.raises(LMStudioConnectionError, match="could not be fetched within 300 s"):
            answer.result(10)
        ended.set()
