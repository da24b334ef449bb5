"""Just enough HTTP to speak with llama.cpp's server on this machine: JSON in, JSON or server-sent events out."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from lmstudio_integrations.emulator.errors import EndpointError, context_overflow, grammar_rejected
from lmstudio_integrations.errors import LMStudioError

_LINE_LIMIT = 16 * 2**20


class LlamaHttp:
    """A client of one server. Every request has a connection of its own; closing it cancels the request."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80

    async def get(self, path: str) -> Any:
        """The JSON answer to a GET."""
        async with self._request("GET", path, None) as body:
            return json.loads(b"".join([part async for part in body]))

    async def post(self, path: str, value: Any) -> Any:
        """The JSON answer to a POST.

        Raises:
            EndpointError: the server refuses.
        """
        async with self._request("POST", path, value) as body:
            return json.loads(b"".join([part async for part in body]))

    async def stream(self, path: str, value: Any) -> AsyncGenerator[Any]:
        """The server-sent events of an answer, each a JSON document.

        Raises:
            EndpointError: the server refuses, or an event says that it has failed.
        """
        async with self._request("POST", path, value) as body:
            rest = b""
            async for part in body:
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if line.startswith((b"data: {", b"error: {")):
                        event = json.loads(line.partition(b": ")[2])
                        if "error" in event or line.startswith(b"error"):
                            raise _refusal(event)
                        yield event

    @asynccontextmanager
    async def _request(self, method: str, path: str, value: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=_LINE_LIMIT)
        try:
            content = b"" if value is None else json.dumps(value).encode()
            head = (
                f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            writer.write(head.encode() + content)
            status, headers = await _head(reader)
            body = _body(reader, headers)
            if status != 200:
                raise _refusal(json.loads(b"".join([part async for part in body]) or b"{}"))
            yield body
        finally:
            writer.close()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    return int(lines[0].split(" ")[1]), headers


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readline()
    elif "content-length" in headers:
        yield await reader.readexactly(int(headers["content-length"]))
    else:
        yield await reader.read()


def _refusal(answer: Any) -> EndpointError:
    error = answer.get("error", answer) if isinstance(answer, dict) else {}
    if error.get("type") == "exceed_context_size_error":
        return context_overflow(error.get("n_prompt_tokens", 0), error.get("n_ctx", 0))
    message = str(error.get("message", answer))
    if "failed to parse grammar" in message:
        return grammar_rejected(message)
    return EndpointError("The engine refused the request", cause=message)


_PROGRAM = Path(__file__).with_name("llama_child.py")
_LAST_WORDS = 600
_START_SECONDS = 120  # a large file on a slow disk; the small model needs half a second


class LlamaProcess:
    """One running child. It ends when its standard input closes, so it never outlives this process."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def start(self) -> str:
        """Start it; the address of its server.

        Raises:
            LMStudioError: the process ended before the model was loaded; the message has its last output.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="lmstudio-emulator-", ignore_cleanup_errors=True)
        with self._log_path.open("w", encoding="utf-8") as log:
            process = self._process = _launch(log)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(self._settings) + "\n")
        process.stdin.flush()
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await asyncio.to_thread(process.stdout.readline)
        except TimeoutError:
            line = ""
        if line:
            return str(json.loads(line)["address"])
        words = self.log()[-_LAST_WORDS:].strip()
        await self.stop()
        raise LMStudioError(f"the real model {self._settings['path']} did not start; its last output: {words}")

    @property
    def _log_path(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name, "llama.log")

    def log_size(self) -> int:
        """The size of the child's log in bytes."""
        return self._log_path.stat().st_size

    def log(self, after: int = 0) -> str:
        """The child's log beyond the byte ``after``."""
        with self._log_path.open("rb") as log:
            log.seek(after)
            return log.read().decode(errors="replace")

    async def stop(self) -> None:
        """End it and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    @property
    def pid(self) -> int | None:
        """The child's process number while it runs."""
        return None if self._process is None else self._process.pid


def _launch(log: IO[str]) -> subprocess.Popen[str]:
    # -P: the modules that lie beside the program are none of its business.
    command = [sys.executable, "-P", str(_PROGRAM)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
