"""A server that has its answers ready: ``python -m benchmarks.flood`` prints its port and serves until it is ended.

One port, three dialects: LM Studio's WebSocket protocol, OpenAI's ``/v1/chat/completions`` and Ollama's ``/api/chat``.
Answers are written in one go, so nearly all the time that is measured is the client's.
"""

from __future__ import annotations

import asyncio
import json
import re
from itertools import chain, zip_longest
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from .formats import (
    embedding_frame,
    frame,
    instance,
    lmstudio_frames,
    ollama_answer,
    ollama_stream,
    openai_answer,
    openai_stream,
)
from .workload import MODEL, Workload, dump


class Connection(asyncio.Protocol):
    """One connection: HTTP, until it becomes a WebSocket."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._buffer = b""
        self._socket: ServerProtocol | None = None
        self._lmstudio = LMStudioProtocol(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._socket is not None:
            self._feed(self._socket, data)
            return
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            if re.search(rb"(?im)^upgrade: *websocket", head):
                self._socket = ServerProtocol(max_size=None)
                self._feed(self._socket, self._buffer)
                return
            length = re.search(rb"(?im)^content-length: *(\d+)", head)
            size = int(length[1]) if length else 0
            if len(rest) < size:
                return
            self._buffer = rest[size:]
            self._answer(head.split(b" ", 2)[1].decode(), rest[:size])

    def _feed(self, socket: ServerProtocol, data: bytes) -> None:
        socket.receive_data(data)
        for event in socket.events_received():
            if isinstance(event, Request):
                socket.send_response(socket.accept(event))
                self._lmstudio.namespace = event.path.lstrip("/")
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._lmstudio.read(json.loads(bytes(event.data)))
        for out in socket.data_to_send():
            if out:
                self.write(out)
            else:
                self._transport.close()

    def _answer(self, path: str, body: bytes) -> None:
        kind, payload = "application/json", b"{}"
        if path == "/lmstudio-greeting":
            payload = b'{"lmstudio":true}'
        elif path.endswith("/models"):
            entry = {"id": MODEL, "object": "model", "loaded_context_length": 131072, "state": "loaded"}
            payload = dump({"object": "list", "data": [entry]}).encode()
        elif path.endswith("/chat/completions"):
            asked = json.loads(body)
            workload = Workload.read(dump(asked["messages"]))
            if asked.get("stream"):
                usage = bool((asked.get("stream_options") or {}).get("include_usage"))
                kind, payload = "text/event-stream", openai_stream(workload, usage)
            else:
                payload = openai_answer(workload)
        elif path == "/api/chat":
            asked = json.loads(body)
            workload = Workload.read(dump(asked["messages"]))
            if asked.get("stream", True):
                kind, payload = "application/x-ndjson", ollama_stream(workload)
            else:
                payload = ollama_answer(workload)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(payload)}\r\n\r\n"
        self.write(head.encode() + payload)


class LMStudioProtocol:
    """LM Studio's protocol on one socket, as far as clients need it for predictions and embeddings."""

    def __init__(self, connection: Connection) -> None:
        self._write = connection.write
        self._authenticated = False
        self._gathered: list[list[bytes]] = []
        self.namespace = ""

    def read(self, message: dict[str, Any]) -> None:
        """Answer one message."""
        if not self._authenticated:
            self._authenticated = True
            self._write(frame({"success": True}))
        elif message["type"] == "rpcCall":
            self._call(message["endpoint"], message["callId"], message.get("parameter"))
        elif message["type"] == "channelCreate":
            self._open(message["endpoint"], message["channelId"], message.get("creationParameter"))
        elif message["type"] == "keepAlive":
            self._write(frame({"type": "keepAliveAck"}))

    def _call(self, endpoint: str, call: int, parameter: Any) -> None:
        if endpoint == "embedString":
            self._write(embedding_frame(call, Workload.read(parameter["inputString"]).start))
            return
        info = instance("embedding" if self.namespace == "embedding" else "llm")
        answers: dict[str, Any] = {
            "listLoaded": [info],
            "listDownloadedModels": [info],
            "getModelInfo": info,
            "getLoadConfig": {"fields": []},
            "version": {"version": "flood", "build": 0},
        }
        self._write(frame({"type": "rpcResult", "callId": call, "result": answers.get(endpoint)}))

    def _open(self, endpoint: str, channel: int, creation: Any) -> None:
        if endpoint == "getOrLoad":
            loaded = {
                "type": "alreadyLoaded",
                "info": instance("embedding" if self.namespace == "embedding" else "llm"),
            }
            self._write(frame({"type": "channelSend", "channelId": channel, "message": loaded}))
            self._write(frame({"type": "channelClose", "channelId": channel}))
        elif endpoint == "predict":
            workload = Workload.read(dump(creation["history"]))
            frames = lmstudio_frames(workload, channel)
            if workload.together:
                self._gather(workload.together, frames)
            else:
                self._write(b"".join(frames))

    def _gather(self, together: int, frames: list[bytes]) -> None:
        """Answer with the prompt's progress at once, and the rest in turn with the others when all are there."""
        self._write(frames[0])
        self._gathered.append(frames[1:])
        if len(self._gathered) == together:
            self._write(b"".join(chain.from_iterable(zip_longest(*self._gathered, fillvalue=b""))))
            self._gathered = []


async def serve() -> None:
    """Serve until the process is ended; the port is the first line of output."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201  # the parent process reads the port
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
