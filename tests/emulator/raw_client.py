"""A WebSocket without any client library, for tests of the emulator; and its messages, made and read."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from lmstudio_integrations.emulator import Emulator

GUEST = {"authVersion": 1, "clientIdentifier": "guest:wire", "clientPasskey": "wire"}


class RawClient:
    """One WebSocket, authenticated unless ``authenticate=False``."""

    def __init__(
        self, server: Emulator, namespace: str = "llm", *, authenticate: bool = True, timeout: float = 5.0
    ) -> None:
        self._timeout = timeout
        self._stack = ExitStack()
        url = f"{server.url}/{namespace.removeprefix('/')}"
        self._socket = self._stack.enter_context(connect(url, max_size=None, open_timeout=5))
        self._ids = 0
        if authenticate:
            self.send(GUEST)
            assert self.receive() == {"success": True}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def send(self, message: Any) -> None:
        """Send a message as JSON, or a text or bytes unchanged."""
        self._socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def receive(self, timeout: float | None = None) -> Any:
        """The next message; text that is not JSON is returned unchanged."""
        text = self._socket.recv(timeout=self._timeout if timeout is None else timeout)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def number(self) -> int:
        self._ids += 1
        return self._ids

    def call(self, endpoint: str, parameter: Any = ...) -> Any:
        """Send an rpcCall; its answer."""
        message = {"type": "rpcCall", "endpoint": endpoint, "callId": self.number()}
        self.send(message if parameter is ... else {**message, "parameter": parameter})
        return self.receive()

    def create(self, endpoint: str, parameter: Any) -> int:
        """Open a channel; its id."""
        number = self.number()
        self.send({"type": "channelCreate", "endpoint": endpoint, "channelId": number, "creationParameter": parameter})
        return number

    def until_end(self, channel: int | None = None) -> list[Any]:
        """All messages up to the end of a channel (of any, if none is named)."""
        seen: list[Any] = []
        while True:
            message = self.receive()
            seen.append(message)
            ended = isinstance(message, dict) and message.get("type") in ("channelClose", "channelError")
            if ended and channel in (None, message["channelId"]):
                return seen

    def until_cut(self) -> list[Any]:
        """All messages up to the end of the socket."""
        seen: list[Any] = []
        while True:
            try:
                seen.append(self.receive())
            except ConnectionClosed:
                return seen

    def predict(self, prompt: str = "Hi", **fields: Any) -> list[Any]:
        """A prediction from its creation to its end; ``fields`` are ``llm.prediction.`` keys, dots as ``__``."""
        return self.until_end(self.create("predict", prediction(prompt, **fields)))


def capped(value: float) -> dict[str, Any]:
    """A number with its box checked."""
    return {"checked": True, "value": value}


def stack(**fields: Any) -> dict[str, Any]:
    """A configuration stack with one layer."""
    listed = [{"key": f"llm.prediction.{key.replace('__', '.')}", "value": value} for key, value in fields.items()]
    return {"layers": [{"layerName": "apiOverride", "config": {"fields": listed}}]}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def prediction(prompt: str | list[Any] = "Hi", model: str = "emulator/chat", **fields: Any) -> dict[str, Any]:
    """The creation parameter of ``predict``."""
    messages = [user(prompt)] if isinstance(prompt, str) else prompt
    return {
        "modelSpecifier": {"type": "query", "query": {"identifier": model}},
        "history": {"messages": messages},
        "predictionConfigStack": stack(**fields),
    }


def packets(messages: list[Any]) -> list[Any]:
    """The packets of some messages."""
    return [message["message"] for message in messages if message.get("type") == "channelSend"]


def fragments(messages: list[Any], kind: str = "none") -> list[Any]:
    """The fragments of one reasoning type."""
    found = [packet["fragment"] for packet in packets(messages) if packet["type"] == "fragment"]
    return [fragment for fragment in found if fragment["reasoningType"] == kind]


def said(messages: list[Any], kind: str = "none") -> str:
    """The text of the fragments."""
    return "".join(fragment["content"] for fragment in fragments(messages, kind))


def success(messages: list[Any]) -> Any:
    """The final packet of a prediction that succeeded."""
    return next(packet for packet in packets(messages) if packet["type"] == "success")


def stats(messages: list[Any]) -> Any:
    """The statistics of a prediction."""
    return success(messages)["stats"]
