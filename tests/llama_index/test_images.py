"""Images: accepted forms, uploads, fetching."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from PIL import Image
from pydantic import ValidationError

from lmstudio_integrations.client import images
from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.errors import LMStudioError, LMStudioValueError
from lmstudio_integrations.llama_index import LMStudio
from lmstudio_integrations.llama_index._messages import to_history
from tests.sent_requests import calls, creations


def png(colour: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (2, 2), colour).save(file, "PNG")
    return file.getvalue()


RED, BLUE = png("red"), png("blue")


def ask(*blocks: ImageBlock) -> list[ChatMessage]:
    return [ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), *blocks])]


def file_parts(creation: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [part for message in creation["history"]["messages"] for part in message["content"]]
    return [part for part in parts if part["type"] == "file"]


def uploaded(server: Emulator) -> list[bytes]:
    return [base64.b64decode(call["contentBase64"]) for call in calls(server, "uploadFileBase64")]


@pytest.mark.parametrize("method", ["chat", "stream_chat", "achat", "astream_chat"])
async def test_images_of_a_message_are_uploaded_and_become_file_parts(
    server: Emulator, llm: LMStudio, method: str
) -> None:
    outcome = getattr(llm, method)(ask(ImageBlock(image=RED), ImageBlock(image=BLUE)))
    if method.startswith("a"):
        outcome = await outcome
    if method == "stream_chat":
        assert list(outcome)
    if method == "astream_chat":
        assert [response async for response in outcome]
    assert uploaded(server) == [RED, BLUE]
    first, second = file_parts(creations(server)[0])
    assert first["fileType"] == second["fileType"] == "image"
    assert first["identifier"] != second["identifier"]
    assert first["sizeBytes"] == len(RED)


def test_image_is_uploaded_once_in_a_conversation(server: Emulator, llm: LMStudio) -> None:
    messages = ask(ImageBlock(image=RED))
    response = llm.chat(messages)
    llm.chat([*messages, response.message, *ask(ImageBlock(image=BLUE), ImageBlock(image=RED))])
    assert uploaded(server) == [RED, BLUE]
    first, second = creations(server)
    assert file_parts(second)[0] == file_parts(second)[2] == file_parts(first)[0]


def test_image_from_bytes_path_or_data_url_is_uploaded_once(server: Emulator, llm: LMStudio, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(RED)
    url = "data:image/png;base64," + base64.b64encode(RED).decode()
    messages = ask(
        ImageBlock(image=RED),
        ImageBlock(image=base64.b64encode(RED)),
        ImageBlock(path=path),
        ImageBlock(url=url),
    )
    files = [image.read() for image in to_history(messages).images]
    assert [file.data for file in files] == [RED] * 4
    assert files[2].name == "red.png"
    llm.chat(messages)
    assert uploaded(server) == [RED]


def test_image_stream_stays_at_its_start() -> None:
    stream = BytesIO(RED)
    try:
        block = ImageBlock(image=stream)
    except ValidationError:
        pytest.skip("this release of LlamaIndex takes no streams")
    (image,) = to_history(ask(block)).images
    assert image.read().data == RED
    assert stream.read() == RED


@pytest.mark.parametrize("ending", ["gif", "bmp"])
def test_gif_and_bmp_images_are_uploaded(server: Emulator, llm: LMStudio, ending: str) -> None:
    """Number 14: the same formats on both sides."""
    file = BytesIO()
    Image.new("RGB", (2, 2), "red").save(file, ending)
    llm.chat(ask(ImageBlock(image=file.getvalue())))
    assert uploaded(server) == [file.getvalue()]


@pytest.mark.parametrize("method", ["chat", "achat"])
async def test_image_url_is_fetched_only_if_allowed(
    server: Emulator, llm: LMStudio, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Number 16: LlamaIndex's own ``resolve_image`` fetched every address."""
    fetched: list[str] = []

    def fetch(url: str) -> bytes:
        fetched.append(url)
        return RED

    monkeypatch.setattr(images, "_fetch", fetch)
    messages = ask(ImageBlock(url="https://example.org/red.png"))
    with pytest.raises(LMStudioValueError, match="fetch_images=True"):
        llm.chat(messages) if method == "chat" else await llm.achat(messages)
    assert fetched == []
    allowed = llm.model_copy(update={"fetch_images": True})
    allowed.chat(messages) if method == "chat" else await allowed.achat(messages)
    assert fetched == ["https://example.org/red.png"]
    assert uploaded(server) == [RED]


def test_missing_or_empty_image_file_raises(llm: LMStudio, tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.write_bytes(b"")
    messages = ask(ImageBlock(path=path))
    with pytest.raises(LMStudioValueError, match="0 bytes"):
        llm.chat(messages)
    path.unlink()
    with pytest.raises(LMStudioValueError, match=r"empty\.png"):
        llm.chat(messages)


def test_data_that_is_no_image_raises_before_a_prediction(server: Emulator, llm: LMStudio) -> None:
    with pytest.raises(LMStudioValueError, match="expected a PNG"):
        llm.chat(ask(ImageBlock(image=b"just text, no image")))
    assert creations(server) == []


def test_model_without_vision_raises_for_images(server: Emulator) -> None:
    text_only = LMStudio(model="emulator/chat-2", base_url=server.url)
    with pytest.raises(LMStudioError, match=r"(?i)vision"):
        text_only.chat(ask(ImageBlock(image=RED)))
    assert uploaded(server) == [RED], "the image itself was complete"
    server.script(Reply("Hello."))
    assert text_only.chat(ask()).message.content == "Hello.", "only the image is refused"


def test_forgotten_uploads_are_sent_again(server: Emulator, llm: LMStudio) -> None:
    llm.chat(ask(ImageBlock(image=RED)))
    server.restart()
    server.script(Reply("Still red."))
    assert llm.chat(ask(ImageBlock(image=RED))).message.content == "Still red."
    assert uploaded(server) == [RED, RED]
