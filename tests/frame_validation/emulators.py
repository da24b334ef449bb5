"""Every emulator that a test uses is looked at: what came in and what went out must be valid, or the test says why not."""

from __future__ import annotations

from typing import Any, Protocol

from tests.frame_validation.conversation import Conversation, Direction, Witness
from tests.frame_validation.schema import SchemaWitness
from tests.frame_validation.sdk_models import SdkWitness
from tests.frame_validation.shared import SCHEMA_PATH


class RecordedFrame(Protocol):
    """One frame of an emulator's record."""

    @property
    def namespace(self) -> str: ...
    @property
    def message(self) -> Any: ...
    @property
    def connection(self) -> int: ...
    @property
    def order(self) -> int: ...


class RecordingServer(Protocol):
    """Something with the frames of both directions."""

    @property
    def requests(self) -> Any: ...
    @property
    def sent(self) -> Any: ...


def witnesses() -> list[Witness]:
    """LM Studio's schema where it is at hand, and always the SDK's models."""
    return [*([SchemaWitness()] if SCHEMA_PATH.is_file() else []), SdkWitness()]


class Watch:
    """One emulator and what has been read of its record so far."""

    def __init__(self, server: RecordingServer) -> None:
        self._server = server
        self._read: dict[Direction, int] = {"c2s": 0, "s2c": 0}
        self._conversations: list[Conversation] | None = None

    def check(self, *, client: bool = True, server: bool = True) -> int:
        """Read what is new; the number of new frames. ``client`` and ``server`` say whose offences count.

        Raises:
            AssertionError: names the first bad frame and the reason.
        """
        # What was sent is asked for first: so no answer is seen whose request is not.
        frames: list[tuple[Direction, RecordedFrame]] = [("s2c", frame) for frame in self._server.sent]
        frames += [("c2s", frame) for frame in self._server.requests]
        new = sorted(
            ((way, frame) for way, frame in frames if frame.order > self._read[way]), key=lambda item: item[1].order
        )
        if not new:
            return 0
        if self._conversations is None:
            self._conversations = [Conversation(each, whole=new[0][1].order <= 1) for each in witnesses()]
        for way, frame in new:
            self._read[way] = frame.order
            counts = client if way == "c2s" else server
            complaints = []
            for conversation in self._conversations:
                try:
                    conversation.read(way, frame.namespace, frame.connection, frame.message, counts=counts)
                except AssertionError as complaint:  # the other witness sees the frame, too
                    complaints.append(complaint)
            if complaints:
                raise complaints[0]
        return len(new)


def check_emulator(server: RecordingServer, *, client_counts: bool = True, server_counts: bool = True) -> int:
    """Everything that the emulator's record holds; the number of frames.

    Raises:
        AssertionError: names the first bad frame and the reason.
    """
    return Watch(server).check(client=client_counts, server=server_counts)
