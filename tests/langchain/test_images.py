from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.errors import LMStudioConnectionError, LMStudioServerError, LMStudioValueError
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.langchain._messages import to_history
from tests.sent_requests import prediction_history

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TEXT = base64.b64encode(PNG).decode()
DATA_URL = f"data:image/png;base64,{TEXT}"
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 "
JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 16


def uploaded(server: Emulator) -> int:
    return sum(record.message.get("endpoint") == "uploadFileBase64" for record in server.requests)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "low"}},
        {"type": "image_url", "image_url": DATA_URL},
        {"type": "image", "base64": TEXT, "mime_type": "image/png"},
        {"type": "image", "base64": PNG},
        {"type": "image", "data": PNG},
        {"type": "image", "url": DATA_URL},
        {"type": "image", "source_type": "base64", "data": TEXT, "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": TEXT}},
        {"type": "input_image", "image_url": DATA_URL},
        {"type": "media", "mime_type": "image/png", "data": PNG},
        {"type": "file", "mime_type": "image/png", "base64": TEXT},
        {"type": "image", "data": TEXT, "mimeType": "image/png"},
        {"type": "resource", "resource": {"uri": "file:///a.png", "mimeType": "image/png", "blob": TEXT}},
        {"type": "non_standard", "value": {"type": "input_image", "image_url": DATA_URL}},
        {"type": "computer_screenshot", "image_url": DATA_URL},
        {"type": "image", "base64": TEXT.replace("+", "-").replace("/", "_"), "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": TEXT}},
        {"type": "image_url", "image_url": TEXT},
        {"inline_data": {"mime_type": "image/png", "data": TEXT}},
        {"inlineData": {"mimeType": "image/png", "data": TEXT}},
    ],
)
@pytest.mark.parametrize("kind", [HumanMessage, AIMessage, partial(ToolMessage, tool_call_id="1")])
def test_image_in_every_form_gives_its_bytes(block: dict[str, Any], kind: Any) -> None:
    (image,) = to_history([kind([block])]).images
    assert image.read().data == PNG


GIF, BMP = b"GIF89a" + bytes(16), b"BM" + bytes(16)


@pytest.mark.parametrize(
    ("data", "ending"), [(PNG, ".png"), (JPEG, ".jpg"), (WEBP, ".webp"), (GIF, ".gif"), (BMP, ".bmp")]
)
def test_content_decides_the_format_of_an_image(data: bytes, ending: str) -> None:
    """Number 14: GIF and BMP are accepted as on the other side."""
    block = {"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": "image/heic"}
    (image,) = to_history([HumanMessage([block])]).images
    assert image.read().name.endswith(ending)


def test_file_id_becomes_a_file_part() -> None:
    block = {"type": "image", "file_id": "local:1", "extras": {"name": "a.png", "size_bytes": 5}}
    history = to_history([HumanMessage([block])])
    assert history.images == []
    assert history.messages[0]["content"] == [
        {"type": "file", "name": "a.png", "identifier": "local:1", "sizeBytes": 5, "fileType": "image"}
    ]


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"type": "image", "base64": base64.b64encode(b"II*\x00....").decode()}, "a TIFF"),
        ({"type": "image", "base64": base64.b64encode(b"<svg xmlns=''/>").decode()}, "an SVG"),
        ({"type": "image", "base64": base64.b64encode(b"nonsense").decode()}, "nonsense"),
        ({"type": "image", "url": "data:image/png;base64," + base64.b64encode(b"II*\x00....").decode()}, "a TIFF"),
        ({"type": "image", "data": b"%PDF-1.7"}, "a PDF"),
        ({"type": "image", "base64": "not base64!"}, "in base64"),
        ({"type": "image", "url": "file:///etc/passwd"}, "file:///etc/passwd"),
        ({"type": "image", "url": "/etc/passwd"}, "/etc/passwd"),
        ({"type": "image", "url": "no_url_but_a_long_word" * 4}, "expected a PNG"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,raw"}}, "data:image/png,raw"),
        ({"type": "image"}, "got nothing"),
    ],
)
def test_block_without_an_accepted_image_raises_or_becomes_a_placeholder(block: dict[str, Any], named: str) -> None:
    with pytest.raises(LMStudioValueError, match=named):
        to_history([HumanMessage([block])])
    history = to_history([ToolMessage([block], tool_call_id="1")])
    assert history.images == []
    assert history.messages[0]["content"][0]["content"].endswith("left out, because LM Studio cannot show it]")


@pytest.mark.parametrize("data", [TEXT, PNG])
def test_image_is_uploaded_and_becomes_a_part_in_its_place(
    chat: Callable[..., ChatLMStudio], lmstudio_emulator: Emulator, data: Any
) -> None:
    chat().invoke([HumanMessage(["before", {"type": "image", "base64": data, "mime_type": "image/png"}, "after"])])
    before, file, after = prediction_history(lmstudio_emulator)[0]["content"]
    assert (before["text"], after["text"]) == ("before", "after")
    assert list(file) == ["type", "name", "identifier", "sizeBytes", "fileType"]
    assert (file["sizeBytes"], file["fileType"]) == (len(PNG), "image")


async def test_equal_images_are_uploaded_once(chat: Callable[..., ChatLMStudio], lmstudio_emulator: Emulator) -> None:
    messages = [
        HumanMessage(
            [{"type": "image", "base64": TEXT, "mime_type": "image/png"}, {"type": "image_url", "image_url": DATA_URL}]
        )
    ]
    chat().invoke(messages)
    await chat().ainvoke(messages)
    assert uploaded(lmstudio_emulator) == 1
    assert prediction_history(lmstudio_emulator, 0) == prediction_history(lmstudio_emulator, 1)


def test_each_server_gets_its_own_upload(chat: Callable[..., ChatLMStudio]) -> None:
    messages = [HumanMessage([{"type": "image", "base64": TEXT, "mime_type": "image/png"}])]
    chat().invoke(messages)
    with Emulator() as other:
        ChatLMStudio(model="emulator/chat", base_url=other.url).invoke(messages)
        assert uploaded(other) == 1


def test_forgotten_upload_is_sent_again_and_the_request_repeated(
    chat: Callable[..., ChatLMStudio], lmstudio_emulator: Emulator
) -> None:
    """Number 10: a forgotten upload is among what is sent again within the retry budget."""
    messages = [HumanMessage([{"type": "image", "base64": TEXT, "mime_type": "image/png"}])]
    lmstudio_emulator.script(Reply("red"), Reply(error="the file is gone", progress=()), Reply("still red"))
    assert chat().invoke(messages).text == "red"
    assert chat().invoke(messages).text == "still red"
    assert uploaded(lmstudio_emulator) == 2


def test_error_after_a_fresh_upload_raises_without_a_retry(
    chat: Callable[..., ChatLMStudio], lmstudio_emulator: Emulator
) -> None:
    lmstudio_emulator.script(Reply(error="the prompt template failed"))
    with pytest.raises(LMStudioServerError):
        chat().invoke([HumanMessage([{"type": "image", "base64": TEXT, "mime_type": "image/png"}])])
    assert uploaded(lmstudio_emulator) == 1


def test_upload_belongs_to_one_identity(chat: Callable[..., ChatLMStudio], lmstudio_emulator: Emulator) -> None:
    messages = [HumanMessage([{"type": "image", "base64": TEXT, "mime_type": "image/png"}])]
    chat().invoke(messages)
    chat(api_token="sk-lm-AbCdEf12:abcdefghij0123456789").invoke(messages)
    assert uploaded(lmstudio_emulator) == 2


def test_image_of_a_tool_follows_behind_a_short_answer(
    chat: Callable[..., ChatLMStudio], lmstudio_emulator: Emulator
) -> None:
    """Number 18: the image followed at once, which strict templates refuse."""
    call = {"name": "draw", "args": {}, "id": "1", "type": "tool_call"}
    result = ToolMessage(
        [{"type": "text", "text": "done"}, {"type": "image", "base64": TEXT, "mime_type": "image/png"}],
        tool_call_id="1",
    )
    chat().invoke([HumanMessage("draw"), AIMessage("", tool_calls=[call]), result])
    *_, tool, answer, user = prediction_history(lmstudio_emulator)
    assert answer == {"role": "assistant", "content": [{"type": "text", "text": "Let me look at the images."}]}
    assert tool["content"][0]["content"] == "done"
    assert [part["type"] for part in user["content"]] == ["text", "file"]


@pytest.fixture
def picture_url() -> Iterator[str]:
    """A web server with one picture."""

    class Pictures(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/a.png" else 404)
            self.end_headers()
            self.wfile.write(PNG)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output clean."""

    with HTTPServer(("127.0.0.1", 0), Pictures) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/a.png"
        finally:
            server.shutdown()
            thread.join()


def test_image_url_raises_without_fetch_images(chat: Callable[..., ChatLMStudio], picture_url: str) -> None:
    with pytest.raises(ValueError, match="fetch_images=True"):
        chat().invoke([HumanMessage([{"type": "image", "url": picture_url}])])


async def test_image_url_is_fetched_with_fetch_images(
    chat: Callable[..., ChatLMStudio], lmstudio_emulator: Emulator, picture_url: str
) -> None:
    messages = [HumanMessage([{"type": "image_url", "image_url": {"url": picture_url}}])]
    chat(fetch_images=True).invoke(messages)
    await chat(fetch_images=True).ainvoke(messages)
    assert prediction_history(lmstudio_emulator)[0]["content"][0]["sizeBytes"] == len(PNG)
    assert uploaded(lmstudio_emulator) == 1


def test_image_url_that_cannot_be_fetched_raises_and_names_it(
    chat: Callable[..., ChatLMStudio], picture_url: str
) -> None:
    with pytest.raises(LMStudioConnectionError, match=r"gone\.png"):
        chat(fetch_images=True).invoke(
            [HumanMessage([{"type": "image", "url": picture_url.replace("a.png", "gone.png")}])]
        )
