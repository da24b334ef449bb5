"""Older and newer LM Studio, for every way in: what is missing has a default, what is unknown is ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmstudio_integrations import Client, Timeout

from .checks import Check
from .server import TEXT, Message, RawServer
from .ways import WAYS, Seen, Way

__all__ = ["CHECKS", "VERSIONS"]

_LIMITS = Timeout(connect=4, first_packet=4, idle=4, load=4)
# What came after the Python SDK of October 2025 (PROTOCOL, section 15), and what even older servers may not send.
_NEW = ("details", "isStructural", "publisher", "indexedModelIdentifier", "deviceIdentifier", "ttlMs", "lastUsedTime")
_OPTIONAL = (*_NEW, "containsDrafted", "tokensCount", "toolCallId", "rawContent", "promptTokensCount",
             "predictedTokensCount", "displayName", "sizeBytes", "path")  # fmt: skip


def _without(names: tuple[str, ...], value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(names, item) for key, item in value.items() if key not in names}
    return [_without(names, item) for item in value] if isinstance(value, list) else value


def _with_more(value: Any) -> Any:
    if isinstance(value, dict):
        more = {key: item if key == "arguments" else _with_more(item) for key, item in value.items()}
        return more | {"addedLater": {"nested": [1, None]}}
    return [_with_more(item) for item in value] if isinstance(value, list) else value


def _older(message: Message) -> list[Message]:
    return [_without(_NEW, message)]


def _oldest(message: Message) -> list[Message]:
    return [_without(_OPTIONAL, message)]


def _newer(message: Message) -> list[Message]:
    """Every object has an unknown member, enumerations have unknown values, and unknown messages come between."""
    made = _with_more(message)
    packet = made.get("message")
    unknown: list[Message] = [{"type": "someNewMessage", "kind": "x"}]
    if isinstance(packet, dict):
        if packet.get("type") == "success":
            packet["stats"]["stopReason"] = (
                "someNewReason" if packet["stats"]["stopReason"] == "eosFound" else "toolCalls"
            )
            packet["modelInfo"] |= {"format": "someNewFormat", "type": "llm"}
            packet["predictionConfig"]["fields"] = [{"key": "llm.prediction.someNewKey", "value": {"x": 1}}]
        unknown.append({"type": "channelSend", "channelId": made["channelId"], "message": {"type": "someNewPacket"}})
    if "success" in made:
        return [made]  # the reply to the authentication is the first frame
    return [*unknown, made]


VERSIONS: dict[str, Callable[[Message], list[Message]]] = {
    "an older LM Studio (October 2025)": _older,
    "one without any optional member": _oldest,
    "a newer LM Studio": _newer,
}


def _check(name: str, alter: Callable[[Message], list[Message]], way: Way) -> Check:
    def check() -> None:
        with RawServer() as server:
            server.alter = alter
            seen = Seen()
            way.run(server.url, _LIMITS, seen)
            assert seen.answer == way.expected, seen.answer
            if way.streams:
                assert "".join(seen.pieces) == TEXT
            Client(server.url).close()

    check.__doc__ = f"{way.name} with {name}."
    return check


CHECKS: tuple[Check, ...] = tuple(_check(name, alter, way) for name, alter in VERSIONS.items() for way in WAYS)
