"""A server with LM Studio's protocol that can misbehave below and within it, frame by frame and byte by byte.

Written from PROTOCOL's facts alone: it shares no code with the package and its emulator, so a mistake of theirs is not
repeated here. It runs on a thread and an event loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, Self

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

HOST = "127.0.0.1"
CHAT, EMBEDDER = "some/chat", "some/embedder"
FRAGMENTS = ("Exact ", "téxt, ", "as sent: ", "漢字 ", "👩‍🚀 ", "and “quotes” ", 'and \\ "ASCII".')
TEXT = "".join(FRAGMENTS)
TOOL, ARGUMENTS = "look_up", {"query": "tides", "limit": 3}
ARGUMENT_FRAGMENTS = ('{"query": "ti', 'des", "li', 'mit": 3}')
DIMENSIONS = 4

Message = dict[str, Any]


def instance(key: str) -> Message:
    """What LM Studio says about a loaded model."""
    kind = "embedding" if key == EMBEDDER else "llm"
    return {
        "type": kind,
        "modelKey": key,
        "format": "gguf",
        "displayName": key,
        "publisher": "some",
        "path": f"{key}.gguf",
        "sizeBytes": 1000,
        "indexedModelIdentifier": f"{key}.gguf",
        "deviceIdentifier": None,
        "maxContextLength": 8192,
        "identifier": key,
        "instanceReference": f"ref-{key}",
        "ttlMs": 3600000,
        "lastUsedTime": None,
        "contextLength": 4096,
    } | ({} if kind == "embedding" else {"vision": False, "trainedForToolUse": True})


def fragment(content: str) -> Message:
    """One fragment of visible text."""
    data = {"content": content, "tokensCount": 1, "containsDrafted": False, "reasoningType": "none"}
    return {"type": "fragment", "fragment": {**data, "isStructural": False}}


def success(stop_reason: str = "eosFound") -> Message:
    """The final packet of a prediction."""
    return {
        "type": "success",
        "stats": {"stopReason": stop_reason, "promptTokensCount": 10, "predictedTokensCount": 7},
        "modelInfo": instance(CHAT),
        "loadModelConfig": {"fields": []},
        "predictionConfig": {"fields": []},
    }


def progress(processed: int) -> Message:
    """Prompt processing: so many of ten tokens."""
    counts = {"cachedTokenCount": 0, "totalPromptTokenCount": 10, "processedPromptTokenCount": processed}
    details = {**counts, "unprocessedPromptTokenCount": 10 - processed}
    return {"type": "promptProcessingProgress", "progress": processed / 10, "details": details}


def vector(text: str) -> list[float]:
    """The embedding of a text: another one for each text."""
    return [len(text) / 1024, *(text.encode()[index % len(text.encode())] / 256 for index in range(DIMENSIONS - 1))]


_silent = logging.getLogger("raw-server")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class Stop(Exception):  # noqa: N818  # no error: control flow of the server
    """Nothing more on this channel, or for this call."""


class Disturbance(Protocol):
    """What is done at a moment. Raises ``Stop`` if the channel says nothing more."""

    async def __call__(self, site: FaultSite) -> None: ...


@dataclass
class Plan:
    """A disturbance at a moment, so many times."""

    moment: str
    act: Disturbance
    times: int = 1
    hits: int = 0


@dataclass(eq=False)
class FaultSite:
    """Where a disturbance happens: on a socket, and on one of its channels or calls if there is one yet."""

    server: RawServer
    peer: Peer
    id: int | None = None
    is_rpc: bool = False
    endpoint: str = ""

    async def send(self, packet: Any) -> None:
        """A packet of this channel, or the result of this call."""
        await self.peer.send(self.wrapped(packet))

    def wrapped(self, packet: Any) -> Message:
        """The message around a packet."""
        if self.is_rpc:
            return {"type": "rpcResult", "callId": self.id, "result": packet}
        return {"type": "channelSend", "channelId": self.id, "message": packet}

    async def close(self) -> None:
        """The end of the channel; of a call, a result without a value."""
        kind = (
            {"type": "rpcResult", "callId": self.id} if self.is_rpc else {"type": "channelClose", "channelId": self.id}
        )
        await self.peer.send(kind)

    async def fail(self, error: Any) -> None:
        """The end of the channel or call by an error object."""
        key, kind = ("callId", "rpcError") if self.is_rpc else ("channelId", "channelError")
        await self.peer.send({"type": kind, key: self.id, "error": error})

    def sample(self) -> Any:
        """A harmless packet: progress of a prediction or load that is no progress."""
        return {"type": "promptProcessingProgress", "progress": 0.0}


class Peer:
    """One socket of a client, below the protocol: frames are written as bytes."""

    def __init__(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.namespace = ""
        self.silent = False
        self.byte_by_byte = False
        self.cancelled: dict[int, asyncio.Event] = {}
        self._protocol = ServerProtocol(max_size=None, logger=_silent)

    async def upgrade(self) -> None:
        """Answer the WebSocket handshake."""
        while True:
            await self._receive()
            for event in self._protocol.events_received():
                if isinstance(event, Request):
                    self.namespace = event.path.split("?")[0].rsplit("/", 1)[-1]
                    await self.server.at("upgrade", FaultSite(self.server, self))
                    self._protocol.send_response(self._protocol.accept(event))
                    await self._flush()
                    return

    async def _receive(self) -> None:
        data = await self.reader.read(65536)
        if not data:
            raise ConnectionResetError
        self._protocol.receive_data(data)

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data and not self.silent:
                await self.write(data)

    async def messages(self) -> Any:
        """Every message of the client, parsed; pings are answered."""
        parts: list[bytes] = []
        while True:
            for event in self._protocol.events_received():
                if not isinstance(event, Frame):
                    continue
                if event.opcode is Opcode.CLOSE:
                    await self._flush()
                    return
                if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    parts.append(bytes(event.data))
                    if event.fin:
                        whole, parts = b"".join(parts), []
                        yield json.loads(whole)
            await self._flush()
            await self._receive()

    async def send(self, message: Any) -> None:
        """A message as one text frame."""
        if self.server.alter is not None:
            for altered in self.server.alter(message):
                await self.frame(json.dumps(altered, ensure_ascii=False).encode())
            return
        if self.server.mutate is not None and (data := self.server.mutate(message)) is not None:
            await self.frame(data)
            return
        await self.frame(json.dumps(message, ensure_ascii=False).encode())

    async def frame(self, payload: bytes, opcode: int = 1, *, fin: bool = True, reserved: int = 0) -> None:
        """One frame, whatever is in it."""
        await self.write(frame_bytes(payload, opcode, fin=fin, reserved=reserved))

    async def write(self, data: bytes) -> None:
        """Bytes as they are; one segment for each if ``byte_by_byte`` is set."""
        if self.writer.transport.is_closing():
            raise ConnectionResetError
        if self.byte_by_byte and len(data) < 4000:
            for index in range(len(data)):
                self.writer.write(data[index : index + 1])
                await asyncio.sleep(0)
        else:
            self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Cut the socket with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def frame_bytes(
    payload: bytes, opcode: int = 1, *, fin: bool = True, reserved: int = 0, length: int | None = None
) -> bytes:
    """A server's frame. ``length`` may claim another size than the payload's."""
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | (reserved << 4) | opcode])
    if size < 126:
        head += bytes([size])
    elif size < 2**16:
        head += bytes([126]) + size.to_bytes(2, "big")
    else:
        head += bytes([127]) + size.to_bytes(8, "big")
    return head + payload


class RawServer:
    """LM Studio as far as the protocol goes: loads a model for each socket, answers chats, tools and embeddings.

    ``plan`` disturbs one moment: upgrade, auth, load, load_mid, load_final, before_first, prompt, fragments, tool,
    before_final, after_final, after_close; for embeddings before_first, answers, after_final; rpc for other calls.
    ``fragments`` makes the answer of a prediction from its creation parameter.
    """

    def __init__(self, *, pace: float = 0.0) -> None:
        self.plan: Plan | None = None
        self.pace = pace
        self.stopping = 0
        self.fragments: Callable[[Message], Iterable[str]] = lambda creation: FRAGMENTS
        self.instance: Callable[[str], Message] = instance
        self.mutate: Callable[[Any], bytes | None] | None = None
        self.alter: Callable[[Any], list[Message]] | None = None
        self.counts: Counter[str] = Counter()
        self.embedded: Counter[str] = Counter()
        self.peers: set[Peer] = set()
        self.open_channels: set[FaultSite] = set()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="raw-server", daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = threading.Condition()

    # Its life

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._listen())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=2**24)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for peer in list(self.peers):
            peer.writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of the server's loop."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop_listening(self) -> None:
        """No new connections, and all present ones are reset, as when the process is killed."""
        assert self._server is not None
        self._server.close()
        for peer in list(self.peers):
            peer.reset()

    async def restart_after(self, seconds: float) -> None:
        """Listen again on the same port."""
        await asyncio.sleep(seconds)
        await self._listen()

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    def wait_closed(self, seconds: float) -> bool:
        """Whether every socket of clients has ended within ``seconds``."""
        return self.wait_until(lambda: not self.peers, seconds)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether ``condition``, which changes with sockets and disturbances, comes true within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    # One socket

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(self, reader, writer)
        with self._changed:
            self.peers.add(peer)
        self.counts["sockets"] += 1
        current = asyncio.current_task()
        assert current is not None
        self._tasks.add(current)
        try:
            with contextlib.suppress(ConnectionError, OSError, Stop, asyncio.IncompleteReadError):
                await peer.upgrade()
                await self._talk(peer)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(current)
            with contextlib.suppress(Exception):
                writer.close()
            with self._changed:
                self.peers.discard(peer)
                self._changed.notify_all()

    async def _talk(self, peer: Peer) -> None:
        messages = peer.messages()
        await anext(messages)
        await self.at("auth", FaultSite(self, peer))
        await peer.send({"success": True})
        tasks: set[asyncio.Task[Any]] = set()
        try:
            async for message in messages:
                await self._take(peer, message, tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _take(self, peer: Peer, message: Message, tasks: set[asyncio.Task[Any]]) -> None:
        kind = message["type"]
        self.counts[message.get("endpoint") or kind] += 1
        if kind == "channelSend" and message["message"].get("type") == "cancel":
            if (event := peer.cancelled.get(message["channelId"])) is not None:
                event.set()
            return
        if kind == "channelCreate":
            site = FaultSite(self, peer, message["channelId"], endpoint=message["endpoint"])
            work = self._load if message["endpoint"] in ("getOrLoad", "loadModel") else self._open
            peer.cancelled[message["channelId"]] = asyncio.Event()
            task = self.spawn(self._quietly(work, site, message["creationParameter"]))
        elif kind == "rpcCall":
            site = FaultSite(self, peer, message["callId"], is_rpc=True, endpoint=message["endpoint"])
            if message["endpoint"] == "embedString":
                await self._quietly(self._embed, site, message["parameter"])
                return
            task = self.spawn(self._quietly(self._answer, site, message.get("parameter")))
        else:
            return
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @staticmethod
    async def _quietly(
        work: Callable[[FaultSite, Any], Coroutine[Any, Any, None]], site: FaultSite, parameter: Any
    ) -> None:
        # The coroutine is made here: a task that is cancelled before its first step would leave it never awaited.
        with contextlib.suppress(ConnectionError, OSError, Stop):
            await work(site, parameter)

    async def at(self, moment: str, site: FaultSite) -> None:
        """Disturb, if the plan says so."""
        plan = self.plan
        if plan is None or plan.moment != moment or plan.hits >= plan.times:
            return
        with self._changed:
            plan.hits += 1
            self._changed.notify_all()
        await plan.act(site)

    # Endpoints

    async def _load(self, site: FaultSite, creation: Message) -> None:
        key = creation.get("identifier") or creation.get("modelKey")
        info = self.instance(str(key))
        await self.at("load", site)
        if site.endpoint == "loadModel":
            await site.send({"type": "resolved", "info": info})
            await site.send({"type": "progress", "progress": 0.5})
            await self.at("load_mid", site)
            await site.send({"type": "success", "info": info})
        else:
            await site.send({"type": "startLoading", "identifier": key, "info": info})
            await site.send({"type": "loadProgress", "progress": 0.5})
            await self.at("load_mid", site)
            await site.send({"type": "loadProgress", "progress": 1})
            await site.send({"type": "loadSuccess", "info": info})
        await self.at("load_final", site)
        await site.close()

    async def _open(self, site: FaultSite, creation: Message) -> None:
        self.open_channels.add(site)
        try:
            await self._predict(site, creation)
        finally:
            self.open_channels.discard(site)

    async def _predict(self, site: FaultSite, creation: Message) -> None:
        assert site.id is not None
        cancelled = site.peer.cancelled[site.id]
        await self.at("before_first", site)
        await site.send(progress(2))
        await self.at("prompt", site)
        await site.send(progress(10))
        stop_reason = "eosFound"
        for number, content in enumerate(self.fragments(creation)):
            if number == 3:
                await self.at("fragments", site)
            if number % 20 == 19:
                await asyncio.sleep(0)  # a cancel may have come
            if self.pace:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(cancelled.wait(), self.pace)
            if cancelled.is_set():
                stop_reason = "userStopped"
                break
            await site.send(fragment(content))
        if _wants_tool(creation) and stop_reason == "eosFound":
            stop_reason = "toolCalls"
            await self._call_tool(site)
        await self.at("before_final", site)
        await site.send(success(stop_reason))
        await self.at("after_final", site)
        await site.close()
        await self.at("after_close", site)
        site.peer.cancelled.pop(site.id, None)

    async def _call_tool(self, site: FaultSite) -> None:
        await site.send({"type": "toolCallGenerationStart", "toolCallId": "call-1"})
        await site.send({"type": "toolCallGenerationNameReceived", "name": TOOL})
        for number, content in enumerate(ARGUMENT_FRAGMENTS):
            if number == 1:
                await self.at("tool", site)
            await site.send({"type": "toolCallGenerationArgumentFragmentGenerated", "content": content})
        request = {"type": "function", "id": "call-1", "name": TOOL, "arguments": ARGUMENTS}
        await site.send({"type": "toolCallGenerationEnd", "toolCallRequest": request, "rawContent": "raw"})

    async def _embed(self, site: FaultSite, parameter: Message) -> None:
        text = parameter["inputString"]
        self.embedded[text] += 1
        await self.at("before_first", site)
        if text.endswith("3"):
            await self.at("answers", site)
        await site.send({"embedding": vector(text)})
        if text.endswith("7"):
            await self.at("after_final", site)

    async def _answer(self, site: FaultSite, parameter: Any) -> None:
        await self.at("rpc", site)
        answers: dict[str, Any] = {
            "getModelInfo": self.instance(CHAT),
            "version": {"version": "0.4.0", "build": 1},
            "countTokens": {"tokenCount": 7},
            "tokenize": {"tokens": [1, 2, 3]},
            "applyPromptTemplate": {"formatted": "formatted"},
            "listLoaded": [self.instance(CHAT)],
            "getLoadConfig": {"fields": []},
            "getInstanceProcessingState": {"status": "idle", "queued": 0},
        }
        if site.endpoint in answers:
            await site.send(answers[site.endpoint])
        else:
            warning = f"Received rpcCall for unknown endpoint, endpoint = {site.endpoint}"
            await site.peer.send({"type": "communicationWarning", "warning": warning})


def _wants_tool(creation: Message) -> bool:
    """Whether tools are offered, and no result of one is there yet."""
    messages = creation.get("history", {}).get("messages", [])
    if any(message["role"] == "tool" for message in messages):
        return False
    return any(
        one["key"] == "llm.prediction.tools" and one["value"].get("type") == "toolArray"
        for layer in creation["predictionConfigStack"]["layers"]
        for one in layer["config"]["fields"]
    )
