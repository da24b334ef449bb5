"""The HTTP client for llama.cpp's server, against answers of a server on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from lmstudio_integrations.emulator.backends.llama_server import LlamaHttp
from lmstudio_integrations.emulator.errors import EndpointError

pytest.importorskip("httpx")
pytestmark = pytest.mark.timeout(20)

Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], object]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[LlamaHttp]:
    """A client of a server that answers each request by ``answer(body, reader, writer)``."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        found = answer(await reader.readexactly(length), reader, writer)
        if asyncio.iscoroutine(found):
            await found
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        http = LlamaHttp(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            yield http
        finally:
            await http.close()


def respond(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK") -> None:
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


def chunked(writer: asyncio.StreamWriter, body: bytes, size: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for at in range(0, len(body), size):
        part = body[at : at + size]
        writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    writer.write(b"0\r\n\r\n")


async def test_post_sends_and_returns_json_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    async with serving(lambda body, _, writer: respond(writer, body)) as http:
        value = {"content": "😀 half a pair: \ud83d"}
        assert await http.post("/tokenize", value) == value


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_stream_divides_events_at_line_feeds_only(size: int) -> None:
    events = [{"content": text} for text in ("a\u2028b", "c\u0085d\x0b", "e\nf", "😀")]
    body = "".join(f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events).encode()
    async with serving(lambda _, __, writer: chunked(writer, body, size)) as http:
        assert [event async for event in http.stream("/completion", {})] == events


@pytest.mark.parametrize(
    ("error", "title"),
    [
        ({"message": "failed to parse grammar: x"}, "failed to parse grammar"),
        ({"type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8}, "exceeds the context length"),
        ({"message": "no"}, "The engine refused the request"),
    ],
)
async def test_refusal_is_an_endpoint_error(error: dict[str, object], title: str) -> None:
    body = json.dumps({"error": error}).encode()
    async with serving(lambda _, __, writer: respond(writer, body, "400 Bad Request")) as http:
        with pytest.raises(EndpointError, match=title):
            await http.post("/completion", {})
        with pytest.raises(EndpointError, match=title):
            [event async for event in http.stream("/completion", {})]


async def test_error_event_in_a_stream_is_an_endpoint_error() -> None:
    body = b'data: {"content": "a"}\n\nerror: {"message": "broken"}\n\n'
    async with serving(lambda _, __, writer: respond(writer, body)) as http:
        stream = http.stream("/completion", {})
        assert await anext(stream) == {"content": "a"}
        with pytest.raises(EndpointError, match="refused"):
            await anext(stream)


async def test_closing_the_stream_closes_its_connection() -> None:
    closed = asyncio.Event()

    async def endless(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: {"content": "a"}\n\n')
        assert await reader.read() == b""
        closed.set()

    async with serving(endless) as http:
        async with aclosing(http.stream("/completion", {})) as stream:
            assert await anext(stream) == {"content": "a"}
        await closed.wait()
