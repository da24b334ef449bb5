"""Images: uploaded once, several to a message, refused where they cannot go."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from PIL import Image
from pydantic import ValidationError

from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.errors import LMStudioError, LMStudioValueError
from lmstudio_integrations.llama_index import LMStudio
from lmstudio_integrations.llama_index.images import ImageData, UploadCache, read_image
from tests.llama_index.wire import calls, creations


def png(colour: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (2, 2), colour).save(file, "PNG")
    return file.getvalue()


RED, BLUE = png("red"), png("blue")


def ask(*images: ImageBlock) -> list[ChatMessage]:
    return [ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), *images])]


def file_parts(creation: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [part for message in creation["history"]["messages"] for part in message["content"]]
    return [part for part in parts if part["type"] == "file"]


def uploaded(server: Emulator) -> list[bytes]:
    return [base64.b64decode(call["contentBase64"]) for call in calls(server, "uploadFileBase64")]


@pytest.mark.parametrize("method", ["chat", "stream_chat", "achat", "astream_chat"])
async def test_several_images_of_a_message_are_uploaded_and_named_in_it(
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


def test_an_image_is_uploaded_once_in_a_conversation(server: Emulator, llm: LMStudio) -> None:
    messages = ask(ImageBlock(image=RED))
    response = llm.chat(messages)
    llm.chat([*messages, response.message, *ask(ImageBlock(image=BLUE), ImageBlock(image=RED))])
    assert uploaded(server) == [RED, BLUE]
    first, second = creations(server)
    assert file_parts(second)[0] == file_parts(second)[2] == file_parts(first)[0]


def test_images_come_from_bytes_paths_and_data_urls(server: Emulator, llm: LMStudio, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(RED)
    url = "data:image/png;base64," + base64.b64encode(RED).decode()
    blocks = [
        ImageBlock(image=RED),
        ImageBlock(image=base64.b64encode(RED)),
        ImageBlock(path=path),
        ImageBlock(url=url),
    ]
    assert [read_image(block).data for block in blocks] == [RED] * 4
    assert read_image(blocks[2]).name == "red.png"
    llm.chat(ask(*blocks))
    assert uploaded(server) == [RED]


def test_a_stream_is_left_where_it_was() -> None:
    stream = BytesIO(RED)
    try:
        block = ImageBlock(image=stream)
    except ValidationError:
        pytest.skip("this release of LlamaIndex takes no streams")
    assert read_image(block).data == RED
    assert stream.read() == RED


def test_an_image_that_cannot_be_read_is_refused(llm: LMStudio, tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.write_bytes(b"")
    with pytest.raises(LMStudioValueError, match="cannot be read"):
        llm.chat(ask(ImageBlock(path=path)))


def test_what_is_no_image_is_refused_before_a_prediction(server: Emulator, llm: LMStudio) -> None:
    with pytest.raises(LMStudioValueError, match="no PNG"):
        llm.chat(ask(ImageBlock(image=b"just text, no image")))
    assert creations(server) == []


def test_a_model_without_eyes_refuses_images(server: Emulator) -> None:
    blind = LMStudio(model="emulator/chat-2", base_url=server.url)
    with pytest.raises(LMStudioError):
        blind.chat(ask(ImageBlock(image=RED)))


def test_uploads_that_lm_studio_has_forgotten_are_sent_again(server: Emulator, llm: LMStudio) -> None:
    llm.chat(ask(ImageBlock(image=RED)))
    server.restart()
    server.script(Reply("Still red."))
    assert llm.chat(ask(ImageBlock(image=RED))).message.content == "Still red."
    assert uploaded(server) == [RED, RED]


def test_the_cache_forgets_what_was_used_least() -> None:
    cache = UploadCache(size=2)
    images = [ImageData(data=b"", name=None, digest=str(number)) for number in range(3)]
    cache.put("s", images[0], {"n": 0})
    cache.put("s", images[1], {"n": 1})
    assert cache.get("s", images[0]) == {"n": 0}
    cache.put("s", images[2], {"n": 2})
    assert [cache.get("s", image) for image in images] == [{"n": 0}, None, {"n": 2}]
    assert cache.get("another server", images[0]) is None
    assert cache.forget("s", images[:1]) is True
    assert cache.forget("s", images[:1]) is False
