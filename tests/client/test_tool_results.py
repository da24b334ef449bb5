"""Binary data in the text of a tool's result: what is shown, what is left out, and what stays as it is."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from lmstudio_integrations.client.images import ImagePart
from lmstudio_integrations.client.tool_results import tool_result

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
NOISE = random.Random(1).randbytes(3000)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


IMAGE = encoded(PNG + NOISE)
PDF = encoded(b"%PDF-1.7\0" + NOISE)
WAV = encoded(b"RIFF\x24\x10\0\0WAVEfmt " + NOISE)
RAW = encoded(NOISE)
KEY = encoded(b"\0\0\0\x07ssh-rsa" + NOISE[:600])
NOTE = "naïve text. " * 100
NOTE_DATA = encoded(NOTE.encode())


def left_out(described: str) -> str:
    return f"[{described}: left out, because the model takes only text and images]"


def blocks(*given: Any) -> str:
    """As LangChain writes a list with a block that it does not know."""
    return json.dumps(list(given), ensure_ascii=False)


MCP_RESULT = (
    "meta=None content=[TextContent(type='text', text='a'), ImageContent(type='image', data='…', mimeType='image/png', "
    "annotations=None)] isError=False"
)
"""As LlamaIndex writes the result of an MCP server."""
MCP_IMAGE = {"type": "image", "data": IMAGE, "mimeType": "image/png"}
LINK = {"type": "resource_link", "uri": "file:///a.md", "name": "a"}


@pytest.mark.parametrize(
    ("text", "expected", "images"),
    [
        (json.dumps({"type": "image", "base64": IMAGE, "mime_type": "image/png"}), "", 1),
        (json.dumps({"type": "image", "base64": encoded(PNG)}), "", 1),
        (blocks({"type": "text", "text": "here"}, MCP_IMAGE), "here", 1),
        (blocks("here", MCP_IMAGE, MCP_IMAGE, LINK), f"here\n{json.dumps(LINK)}", 2),
        (json.dumps({"content": [MCP_IMAGE], "isError": False, "structuredContent": None}), "", 1),
        (blocks({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}), "", 1),
        (blocks({"type": "input_image", "image_url": f"data:image/png;base64,{IMAGE}"}), "", 1),
        (blocks({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}).replace("/", "\\/"), "", 1),
        (str([{"type": "text", "text": "it's"}, MCP_IMAGE]), "it's", 1),
        (blocks({"type": "audio", "data": WAV, "mimeType": "audio/wav"}), left_out("audio, audio/wav, 3016 bytes"), 0),
        (blocks({"type": "input_audio", "input_audio": {"data": RAW, "format": "mp3"}}), left_out("audio, audio/mp3, 3000 bytes"), 0),
        (
            blocks({"type": "resource", "resource": {"uri": "a:/b.pdf", "mimeType": "application/pdf", "blob": PDF}}),
            left_out("file at a:/b.pdf, application/pdf, 3009 bytes"),
            0,
        ),
        (blocks({"type": "resource", "resource": {"mimeType": "text/markdown", "blob": NOTE_DATA}}), NOTE, 0),
        (blocks({"type": "file", "base64": NOTE_DATA, "mime_type": "text/plain"}), NOTE, 0),
    ],
)  # fmt: skip
def test_text_of_content_blocks_is_read_as_these_blocks(text: str, expected: str, images: int) -> None:
    made, shown = tool_result([text])
    assert made == expected
    assert len(shown) == images
    assert all(isinstance(image, ImagePart) for image in shown)


@pytest.mark.parametrize(
    ("text", "expected", "images"),
    [
        (f"data:image/png;base64,{IMAGE}", "(image)", 1),
        (f'"data:image/png;base64,{IMAGE}"\n', '"(image)"\n', 1),
        (f"data:text/plain;charset=utf-8;base64,{NOTE_DATA}", NOTE, 0),
        (f"![a](data:image/png;base64,{IMAGE}) b", f"![a]({left_out('data, image/png, 3069 bytes')}) b", 0),
        (f'<img src="data:image/x;base64,{RAW}">', f'<img src="{left_out("data, image/x, 3000 bytes")}">', 0),
        (f"It is {PDF} now", f"It is {left_out('data, application/pdf, 3009 bytes')} now", 0),
        (json.dumps({"a": 1, "shot": IMAGE}), json.dumps({"a": 1, "shot": left_out("data, image/png, 3069 bytes")}), 0),
        (
            json.dumps({"data": RAW, "mimeType": "a/b"}).replace("/", "\\/"),
            f'{{"data": "{left_out("data, a/b, 3000 bytes")}", "mimeType": "a\\/b"}}',
            0,
        ),
        (
            json.dumps({"a": json.dumps({"mime_type": "a/b", "blob": RAW})}),
            json.dumps({"a": json.dumps({"mime_type": "a/b", "blob": left_out("data, a/b, 3000 bytes")})}),
            0,
        ),
        (
            json.dumps({"data": NOTE_DATA, "mimeType": "text/plain", "n": 1}),
            json.dumps({"data": NOTE, "mimeType": "text/plain", "n": 1}, ensure_ascii=False),
            0,
        ),
        (f"file:\n{base64.encodebytes(PNG + NOISE).decode()}Done it", f"file:\n{left_out('data, image/png, 3069 bytes')}\nDone it", 0),
        (f"result\n{IMAGE}\nDone", f"result\n{left_out('data, image/png, 3069 bytes')}\nDone", 0),
        (
            json.dumps({"out": base64.encodebytes(PNG + NOISE).decode()}),
            f'{{"out": "{left_out("data, image/png, 3069 bytes")}\\n"}}',
            0,
        ),
        (
            MCP_RESULT.replace("…", IMAGE),
            MCP_RESULT.replace("…", "(image)"),
            1,
        ),
        (
            f"[BlobResourceContents(uri=AnyUrl('a:/b'), mimeType='a/b', blob='{RAW}')]",
            f"[BlobResourceContents(uri=AnyUrl('a:/b'), mimeType='a/b', blob='{left_out('data, a/b, 3000 bytes')}')]",
            0,
        ),
        (
            f"[ImageBlock(block_type='image', image=b'{IMAGE}', path=None, image_mimetype='image/png')]",
            "[ImageBlock(block_type='image', image=b'(image)', path=None, image_mimetype='image/png')]",
            1,
        ),
    ],
)  # fmt: skip
def test_base64_that_is_binary_data_for_certain_is_left_out(text: str, expected: str, images: int) -> None:
    made, shown = tool_result([text])
    assert made == expected
    assert len(shown) == images


LEGITIMATE = {
    "a token": f"eyJhbGciOiJSUzI1NiJ9.{RAW.replace('/', '_').replace('+', '-')}.{RAW[:342]}",
    "a token in JSON": json.dumps({"access_token": RAW, "token_type": "bearer"}),
    "a public key": f"ssh-rsa {KEY} me",
    "a certificate": f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(b'0' + NOISE).decode()}-----END CERTIFICATE-----",
    "a hex dump": NOISE.hex(),
    "paths": "\n".join(f"/usr/lib/python3/dist-packages/some_package/module_{index}/folder" for index in range(40)),
    "a listing of files": blocks({"type": "file", "name": "a", "data": "hello", "mime_type": "text/plain"}),
    "a file with more about it": json.dumps({"type": "file", "encoding": "base64", "sha": "0f", "content": NOTE_DATA}),
    "results of an image search": blocks({"type": "image", "url": "https://example.com/a.png", "title": "A cat"}),
    "encoded text": NOTE_DATA,
    "a sequence": json.dumps({"data": "ACGT" * 300, "format": "fasta"}),
    "text beside its type": json.dumps({"data": "a" * 600, "mimeType": "text/plain"}),
    "a short icon": f"data:image/svg+xml;base64,{encoded(b'<svg/>' * 20)}",
    "blocks of text": blocks({"type": "text", "text": "a"}, {"type": "text", "text": "b"}),
    "a long word": "x" * 5000,
    "broken JSON": f'[{{"type": "image", "data": "{encoded(PNG)}"',
}  # fmt: skip


@pytest.mark.parametrize("text", LEGITIMATE.values(), ids=LEGITIMATE)
def test_text_that_may_be_what_the_tool_was_asked_for_stays(text: str) -> None:
    assert tool_result([text]) == (text, [])


@pytest.mark.parametrize(
    "text", ["\\" * 300_000, "\\n" * 150_000, "aa\n" * 100_000, ("a" * 76 + "\n") * 4000, "[{'type': 'image'" * 9000]
)
@pytest.mark.timeout(10)
def test_reading_a_result_takes_linear_time(text: str) -> None:
    assert tool_result([text]) == (text, [])


@pytest.mark.timeout(10)
def test_reading_many_data_urls_takes_linear_time() -> None:
    count = 4000
    text, images = tool_result([f"<img src='data:image/png;base64,{RAW}'>" * count])
    assert not images
    assert text == f"<img src='{left_out('data, image/png, 3000 bytes')}'>" * count
