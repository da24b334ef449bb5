"""Runs a case against an emulator of its own, and gives what the client sent in a form that is the same each time.

What differs between two runs is replaced: the identity of a guest, and UUIDs by their number of appearance. Call and
channel ids are numbered by their order of appearance on each socket. Frames are listed by namespace, then by socket, in
the order in which they were sent; the frames of concurrent requests (``unordered``) are sorted by their content.
"""

from __future__ import annotations

import hashlib
import http.server
import inspect
import json
import re
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lmstudio_integrations import LLM, AsyncClient, Client, EmbeddingModel
from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply

__all__ = ["Case", "Cases", "Wire", "record"]

Frames = list[tuple[str, Any]]
Run = Callable[["Wire"], Any]

TOKEN = "sk-lm-AbCdEfGh:0123456789abcdefghij"  # of no server
PNG, JPEG, GIF, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM"
WEBP = b"RIFF\x10\x00\x00\x00WEBP"
MODELS = (
    EmulatedModel("emulator/chat", loaded=True, vision=True),
    EmulatedModel("emulator/chat-2", vision=True),
    EmulatedModel("emulator/draft"),
    EmulatedModel("emulator/embedding", "embedding", loaded=True, context_length=2048, dimensions=8),
    EmulatedModel("emulator/embedding-2", "embedding", context_length=2048, dimensions=8),
)
_NAMESPACES = ("system", "files", "embedding", "llm")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


@dataclass(frozen=True)
class Case:
    """One public call (or a few). ``cancels``: how many cancels reach the server."""

    area: str
    name: str
    run: Run
    unordered: bool = False
    cancels: int = 0


@dataclass
class Cases:
    """The cases of one area: ``add`` is called directly or decorates a function."""

    area: str
    made: list[Case] = field(default_factory=list)

    def add(
        self, name: str, run: Run | None = None, *, unordered: bool = False, cancels: int = 0
    ) -> Callable[[Run], Run]:
        """Add a case, blocking or awaiting. ``unordered``: its requests are concurrent."""

        def keep(run: Run) -> Run:
            self.made.append(Case(self.area, name, run, unordered, cancels))
            return run

        if run is not None:
            keep(run)
        return keep

    def cancelled(self, name: str) -> Callable[[Run], Run]:
        """Add a case whose prediction or load is cancelled, once."""
        return self.add(f"cancel: {name}", cancels=1)


class Wire:
    """What a case works with: an emulator, and the public classes bound to its address."""

    def __init__(self, server: Emulator, name: str, stack: ExitStack) -> None:
        self.server = server
        self.url = server.url
        self._name = name
        self._stack = stack

    @cached_property
    def client(self) -> Client:
        return Client(self.url)

    @property
    def aclient(self) -> AsyncClient:
        return AsyncClient(self.url)

    @property
    def llm(self) -> LLM:
        return self.client.llm.just_in_time("emulator/chat")

    @property
    def embedder(self) -> EmbeddingModel:
        return self.client.embedding.just_in_time("emulator/embedding")

    def chat(self, **settings: Any) -> Any:
        """A ``ChatLMStudio``."""
        from lmstudio_integrations.langchain import ChatLMStudio

        return ChatLMStudio(**self._settings(settings))

    def text(self, **settings: Any) -> Any:
        """An ``LMStudioLLM``."""
        from lmstudio_integrations.langchain import LMStudioLLM

        return LMStudioLLM(**self._settings(settings))

    def embeddings(self, **settings: Any) -> Any:
        """An ``LMStudioEmbeddings``."""
        from lmstudio_integrations.langchain import LMStudioEmbeddings

        return LMStudioEmbeddings(**self._settings(settings, "emulator/embedding"))

    def index_llm(self, **settings: Any) -> Any:
        """LlamaIndex's ``LMStudio``."""
        from lmstudio_integrations.llama_index import LMStudio

        return LMStudio(**self._settings(settings))

    def index_embedding(self, **settings: Any) -> Any:
        """An ``LMStudioEmbedding``."""
        from lmstudio_integrations.llama_index import LMStudioEmbedding

        return LMStudioEmbedding(**self._settings(settings, "emulator/embedding"))

    def _settings(self, settings: dict[str, Any], model: str = "emulator/chat") -> dict[str, Any]:
        named = {} if settings.keys() & {"model", "model_name"} else {"model": model}
        return {"base_url": self.url, **named, **settings}

    def script(self, *replies: Reply) -> None:
        self.server.script(*replies)

    def hold(self, text: str = "one two three") -> None:
        """The next answer stops after its first fragment, so that the case can cancel it."""
        self.script(Reply(text, hold=threading.Event(), hold_after=1))

    def image(self, start: bytes = PNG) -> bytes:
        """The bytes of an image that no other case has (uploads are remembered by content)."""
        return start + hashlib.sha256(self._name.encode()).digest()

    def path(self, name: str, data: bytes) -> Path:
        """A file with ``data``."""
        path = Path(self._stack.enter_context(tempfile.TemporaryDirectory())) / name
        path.write_bytes(data)
        return path

    def serve(self, data: bytes) -> str:
        """The http address of ``data``."""
        return self._stack.enter_context(_served(data))

    def wait_for_cancels(self, count: int) -> None:
        """Return as soon as ``count`` cancels have arrived."""
        self.server.wait_until(lambda: sum(map(_is_cancel, self.server.requests)) >= count)


@contextmanager
def _served(data: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/cat.png"
        finally:
            server.shutdown()
            thread.join()


def record(case: Case) -> Frames:
    """What the client sends in ``case``: pairs of a namespace and a frame. A refused call ends in its error's kind."""
    outcome: Frames = []
    with warnings.catch_warnings(), Emulator(MODELS) as server, ExitStack() as stack:
        warnings.simplefilter("ignore")  # an error under pytest, and in frameworks' code, too
        wire = Wire(server, case.name, stack)
        try:
            _run(case.run, wire)
        except Exception as error:  # noqa: BLE001  # what is refused sends nothing, and that is what the case shows
            outcome.append(("raised", _kind(error)))
        wire.wait_for_cancels(case.cancels)
        Client(server.url).close()
        Client(server.url, api_token=TOKEN).close()
        server.wait_until(lambda: server.connections == 0)
        return _normalised(server.requests, unordered=case.unordered) + outcome


def _run(run: Run, wire: Wire) -> None:
    made = run(wire)
    if inspect.iscoroutine(made):
        import asyncio

        asyncio.run(made)


def _kind(error: BaseException) -> str:
    """The built-in class of an error, which no renaming changes."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins")


def _is_cancel(frame: Any) -> bool:
    message = frame.message
    return bool(message.get("type") == "channelSend" and message["message"] == {"type": "cancel"})


def _normalised(requests: Any, *, unordered: bool) -> Frames:
    sockets: dict[tuple[int, int], list[Any]] = {}
    for frame in requests:
        key = (_NAMESPACES.index(frame.namespace), frame.connection)
        sockets.setdefault(key, []).append(frame.message)
    uuids: dict[str, str] = {}
    made: Frames = []
    for (namespace, _), messages in sorted(sockets.items()):
        if unordered:
            messages.sort(key=_without_ids)
        numbers: dict[tuple[str, int], int] = {}
        for message in messages:
            made.append((_NAMESPACES[namespace], _masked(_numbered(_anonymous(message), numbers), uuids)))
    return made


def _without_ids(message: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in message.items() if name not in ("callId", "channelId")})


def _anonymous(message: dict[str, Any]) -> Any:
    if "authVersion" in message and str(message["clientIdentifier"]).startswith("guest:"):
        return {**message, "clientIdentifier": "guest:…", "clientPasskey": "…"}
    return message


def _numbered(message: dict[str, Any], numbers: dict[tuple[str, int], int]) -> dict[str, Any]:
    return {
        name: numbers.setdefault((name, value), 1 + sum(key == name for key, _ in numbers))
        if name in ("callId", "channelId")
        else value
        for name, value in message.items()
    }


def _masked(value: Any, uuids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _UUID.sub(lambda found: uuids.setdefault(found[0], f"uuid {len(uuids) + 1}"), value)
    if isinstance(value, list):
        return [_masked(item, uuids) for item in value]
    if isinstance(value, dict):
        return {name: _masked(item, uuids) for name, item in value.items()}
    return value
