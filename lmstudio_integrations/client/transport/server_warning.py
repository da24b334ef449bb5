"""Which request a ``communicationWarning`` is about. It has no id, only prose and, since October 2025, a ``kind``.

Source: lmstudio-js, ``lms-communication-server`` (ServerPort). The prose names the endpoint first and then repeats the
whole parameter, which may contain any of the searched words: only the head is read.
"""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["ParsedWarning", "is_late_cancel", "parse_warning", "shorten"]

Family = Literal["rpc", "channel", "any"]

_ENDPOINT = re.compile(r"\bendpoint(?:Name)? = ([^\s,]+)")
_HEAD = 300

# Warnings that answer no request: what they concern lives on, or has ended already.
_NO_REQUEST = re.compile(r"for unknown channel|invalid message for channel|signal", re.IGNORECASE)
_NO_REQUEST_KINDS = frozenset(("channelUnknown", "channelMessageTypeError", "rpcUnknown", "rpcResultTypeError"))

_SHOWN_HEAD, _SHOWN_REASON = 200, 600


class ParsedWarning:
    """What kind of request a warning is about, and which endpoint, if it names one."""

    __slots__ = ("endpoint", "family", "head")

    def __init__(self, family: Family, endpoint: str | None, head: str) -> None:
        self.family = family
        self.endpoint: str | None = endpoint
        self.head: str = head

    def fits(self, endpoint: str, *, is_channel: bool) -> bool:
        """Whether a request that has had no answer may be the one."""
        if self.family != "any" and (self.family == "channel") != is_channel:
            return False
        return self.endpoint is None or _is_word(endpoint, self.endpoint)

    def names(self, endpoint: str) -> bool:
        """Whether the prose has the endpoint's name in it, if in no usual place."""
        return _is_word(endpoint, self.head)


def parse_warning(warning: str, kind: str) -> ParsedWarning | None:
    """The meaning of a warning, or ``None`` if it can mean none of the requests that wait for an answer."""
    found = _ENDPOINT.search(warning, 0, _HEAD)
    head = warning[: found.end() if found else _HEAD]
    if kind in _NO_REQUEST_KINDS or "signal" in kind.lower() or _NO_REQUEST.search(head):
        return None
    return ParsedWarning(_family(kind, head), found[1] if found else None, head)


def _family(kind: str, head: str) -> Family:
    if kind.startswith("rpc") or "rpcCall" in head:
        return "rpc"
    if kind.startswith("channel") or "channel" in head:
        return "channel"
    return "any"


def _is_word(word: str, text: str) -> bool:
    return re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", text) is not None


def is_late_cancel(warning: str, kind: str) -> bool:
    """Whether a warning is about a message (only a cancel can be one) after the end of its channel."""
    return kind == "channelUnknown" or warning.startswith("Received channelSend for unknown channel")


def shorten(warning: str) -> str:
    """The warning for logs and errors: without the parameter, which may be a complete request."""
    if len(warning) <= _SHOWN_HEAD + _SHOWN_REASON:
        return warning
    reason = warning.rfind("Zod error")
    tail = warning[reason:] if reason > _SHOWN_HEAD else ""
    return f"{warning[:_SHOWN_HEAD]} … {tail[:_SHOWN_REASON]}".rstrip()
