"""When a request is sent again, and how long to wait before a server is connected to again. Pure.

One call of the user has one budget for all its attempts: sends, reloads and reconnects.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from lmstudio_integrations.errors import LMStudioError

__all__ = ["NotSentError", "RetryBudget", "reconnect_delays"]

# A bound for a server that closes every socket before it is used; other clients' closing takes a few at most.
_MAX_FREE_ATTEMPTS = 1000
_FIRST_DELAY = 0.25
_MAX_DELAY = 4.0
# A generator of its own: drawing from the global one would change the numbers of a program that has seeded it.
_jitter = random.Random()  # noqa: S311  # no secret depends on it


class NotSentError(Exception):
    """The socket was closed before the request was written to it. ``__cause__`` is what the socket's end means."""


class RetryBudget:
    """How often one request may still be sent: ``max_retries + 1`` times in all.

    Free, because nothing reached the server: a request that was never written. A request is sent again only if the
    failure is a lost socket, an unloaded model or a forgotten upload, and no packet of its channel has arrived.
    """

    def __init__(self, max_retries: int) -> None:
        self.retries_left = max_retries
        self._free_left = _MAX_FREE_ATTEMPTS

    @property
    def exhausted(self) -> bool:
        """Whether the next failure will be raised."""
        return self.retries_left == 0

    def consume(self, error: LMStudioError, *, retryable: bool) -> None:
        """Take one retry for ``error``, or raise it."""
        if not retryable or error.response_started or self.exhausted:
            raise error
        self.retries_left -= 1

    def consume_unsent(self, error: NotSentError) -> None:
        """Allow another attempt for a request that was never written; raises its cause after a thousand."""
        if self._free_left == 0:
            assert error.__cause__ is not None
            raise error.__cause__
        self._free_left -= 1


def reconnect_delays(seconds: float) -> Iterator[float]:
    """The pauses (seconds) between attempts to connect, until ``seconds`` are used up: 0.25, doubling up to 4.

    Jitter only lengthens a pause, by up to a quarter, so that many clients do not come back at the same moment.
    """
    delay, used = _FIRST_DELAY, 0.0
    while used < seconds:
        pause = delay * (1 + _jitter.random() / 4)
        pause = min(pause, seconds - used)
        used += pause
        yield pause
        delay = min(delay * 2, _MAX_DELAY)
