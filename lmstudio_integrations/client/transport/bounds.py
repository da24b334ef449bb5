"""How much a server may send before it is taken for broken. Pure.

Time limits do not bound memory: a server that keeps sending shows progress. The defaults are far above what LM Studio
sends; a program that needs others sets the names of this module before its first request.
"""

from __future__ import annotations

from lmstudio_integrations.errors import LMStudioError, LMStudioLimitError

__all__ = [
    "CHECK_BYTES",
    "MAX_ANSWER_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_UNREAD_BYTES",
    "size_error",
    "too_large_message",
]

MAX_MESSAGE_BYTES = 128 * 2**20
"""One WebSocket message. The largest that LM Studio sends are lists of models and vectors, far below a megabyte."""

MAX_ANSWER_BYTES = 2 * 2**30
"""All messages of one answer: about ten million tokens, or 200,000 with a hundred candidates each."""

MAX_UNREAD_BYTES = 64 * 2**20
"""Messages of one answer that its consumer has not taken yet: about 300,000 tokens, in memory several times as much."""

CHECK_BYTES = 2**20
"""How often an answer's size is looked at."""


def size_error(endpoint: str, size: int, packets: int, unread: int) -> LMStudioLimitError | None:
    """The error of an answer of ``size`` bytes in so many packets, ``unread`` of them not taken yet, if it has one."""
    if size > MAX_ANSWER_BYTES:
        return LMStudioLimitError(
            f"LM Studio's answer to {endpoint!r} exceeds {MAX_ANSWER_BYTES / 2**20:g} MiB and was cancelled: expected "
            "it to end long before. Set a limit such as maxTokens."
        )
    waiting = size // max(packets, 1) * unread
    if waiting > MAX_UNREAD_BYTES:
        return LMStudioLimitError(
            f"{unread} packets of the answer to {endpoint!r} ({waiting / 2**20:.0f} MiB) have arrived and were not "
            "read, so it was cancelled. Read the stream faster, or close it if nothing reads it."
        )
    return None


def too_large_message(name: str) -> LMStudioError:
    """The error of every open call on a socket that received a message above ``MAX_MESSAGE_BYTES``."""
    return LMStudioLimitError(
        f"{name} sent a message of more than {MAX_MESSAGE_BYTES / 2**20:g} MiB, and the connection was closed. "
        "Check that LM Studio listens there."
    )
