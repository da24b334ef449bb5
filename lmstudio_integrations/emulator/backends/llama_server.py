"""llama.cpp's server on this machine: a client of its HTTP interface, and the child process that runs it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import IO, Any

from lmstudio_integrations.emulator.errors import EndpointError, context_overflow, grammar_rejected
from lmstudio_integrations.errors import LMStudioError


class LlamaHttp:
    """A client of one server. The server is on this machine: there is no time limit, and no proxy is used."""

    def __init__(self, address: str) -> None:
        import httpx  # of the extra, too: without it there is an error that names the extra, before this

        # A connection for each request: the server may close an idle one just when the next request is sent.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(base_url=address, timeout=None, limits=limits, trust_env=False)  # noqa: S113

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def post(self, path: str, value: Any) -> Any:
        """The JSON answer to a POST.

        Raises:
            EndpointError: the server refuses.
        """
        response = await self._client.post(path, **_json(value))
        if not response.is_success:
            raise _refusal(response.json())
        return response.json()

    async def stream(self, path: str, value: Any) -> AsyncGenerator[Any]:
        """The server-sent events of an answer, each a JSON document. Closing the generator cancels the request.

        Raises:
            EndpointError: the server refuses, or an event says that it has failed.
        """
        async with self._client.stream("POST", path, **_json(value)) as response:
            if not response.is_success:
                await response.aread()
                raise _refusal(response.json())
            rest = b""
            # Not aiter_lines, which also ends lines at U+2028 and others that may be in an event's JSON.
            async for part in response.aiter_bytes():
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if line.startswith((b"data: {", b"error: {")):
                        event = json.loads(line.partition(b": ")[2])
                        if "error" in event or line.startswith(b"error"):
                            raise _refusal(event)
                        yield event


def _json(value: Any) -> dict[str, Any]:
    # Not httpx's json=, which fails at half a surrogate pair.
    return {"content": json.dumps(value), "headers": {"Content-Type": "application/json"}}


def _refusal(answer: Any) -> EndpointError:
    error = answer.get("error", answer) if isinstance(answer, dict) else {}
    if error.get("type") == "exceed_context_size_error":
        return context_overflow(error.get("n_prompt_tokens", 0), error.get("n_ctx", 0))
    message = str(error.get("message", answer))
    if "failed to parse grammar" in message:
        return grammar_rejected(message)
    return EndpointError("The engine refused the request", cause=message)


_PROGRAM = Path(__file__).with_name("llama_child.py")
_LOG_TAIL = 600
_START_SECONDS = 120  # a large file on a slow disk; the small model needs half a second


class LlamaProcess:
    """The child process. It ends when its standard input closes, so it never outlives this process."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def start(self) -> str:
        """Start the process, and return the address of its server.

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
        tail = self.log()[-_LOG_TAIL:].strip()
        await self.stop()
        raise LMStudioError(f"the real model {self._settings['path']} did not start; its last output: {tail}")

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
        """End the process and wait for its end."""
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
    # -P keeps the program's own folder, with this package's modules, out of sys.path.
    command = [sys.executable, "-P", str(_PROGRAM)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
