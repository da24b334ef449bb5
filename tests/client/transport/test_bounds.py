"""Limits on what a server may send."""

from __future__ import annotations

from itertools import pairwise

import pytest

from lmstudio_integrations.client.transport import bounds
from lmstudio_integrations.client.transport.multiplexer import Multiplexer
from tests.packet_builders import RecordedCall, fragment, frame, opened


@pytest.mark.parametrize(
    ("size", "packets", "unread", "words"),
    [
        (bounds.MAX_ANSWER_BYTES, 10**7, 0, None),
        (bounds.MAX_ANSWER_BYTES + 1, 10**7, 0, "exceeds 2048 MiB"),
        (200_000_000, 1_000_000, 300_000, None),
        (200_000_000, 1_000_000, 400_000, "400000 packets"),
        (10, 0, 0, None),
    ],
)
def test_size_error_names_the_limit_that_is_exceeded(size: int, packets: int, unread: int, words: str | None) -> None:
    error = bounds.size_error("predict", size, packets, unread)
    assert (error is None) == (words is None)
    assert words is None or words in str(error)


def _recorded(session: Multiplexer, *, ends: bool) -> tuple[RecordedCall, list[int]]:
    recorded, sizes = opened(session, "predict"), list[int]()

    def on_size() -> bool:
        sizes.append(recorded.pending.size)
        return ends

    recorded.pending.on_size = on_size
    return recorded, sizes


def test_size_of_a_call_is_checked_each_mebibyte() -> None:
    session = Multiplexer()
    recorded, sizes = _recorded(session, ends=False)
    for _ in range(50):
        session.receive(frame("channelSend", channelId=recorded.id, message=fragment("x" * 100_000)))
    assert len(sizes) == 4
    assert all(later - earlier >= bounds.CHECK_BYTES for earlier, later in pairwise(sizes))
    assert len(recorded.packets) == 50


def test_packet_that_exceeds_a_limit_is_not_delivered() -> None:
    session = Multiplexer()
    recorded, _ = _recorded(session, ends=True)
    session.receive(frame("channelSend", channelId=recorded.id, message=fragment("x" * bounds.CHECK_BYTES)))
    assert recorded.packets == []
