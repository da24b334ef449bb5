"""RecordedFrame frames of LM Studio's own server library, read by our session and reader.

The requests are opened again as the recorded client opened them; what comes out is compared with a reading of the
frames that is written down here a second time.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmstudio_integrations.client.events import Fragment, ToolCallEnd, ToolCallFailed
from lmstudio_integrations.client.prediction import PredictionReader
from lmstudio_integrations.client.transport.multiplexer import CLOSED, Answer, Multiplexer, read_authentication
from lmstudio_integrations.errors import (
    LMStudioAuthenticationError,
    LMStudioError,
    LMStudioIncompleteError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
    LMStudioPresetNotFoundError,
    LMStudioServerError,
    LMStudioUnsupportedError,
)
from lmstudio_integrations.protocol.auth import guest_authentication
from tests.frame_validation import transcripts
from tests.frame_validation.shared import needs_shared
from tests.packet_builders import RecordedCall, events_of

pytestmark = needs_shared
NAMES = transcripts.names()
CLASSES = {
    "generic.noModelMatchingQuery": LMStudioModelNotFoundError,
    "generic.pathNotFound": LMStudioModelNotFoundError,
    "generic.identifierNotFound": LMStudioModelNotFoundError,
    "generic.domainMismatch": LMStudioModelNotFoundError,
    "generic.specificModelUnloaded": LMStudioModelUnloadedError,
    "generic.presetNotFound": LMStudioPresetNotFoundError,
    "generic.engineDoesNotSupportFeature": LMStudioUnsupportedError,
    "generic.missingRuntimeExtension": LMStudioUnsupportedError,
    None: LMStudioServerError,
}


class RecordedRequest:
    """A request of a recording: our recorded, and the frames that came for it."""

    def __init__(self, opening: dict[str, Any]) -> None:
        self.recorded = RecordedCall(opening["endpoint"])
        self.opening = opening
        self.frames: list[dict[str, Any]] = []

    @property
    def packets(self) -> list[dict[str, Any]]:
        return [frame["message"] for frame in self.frames if frame["type"] == "channelSend"]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [packet for packet in self.packets if packet["type"] == kind]


def replay(name: str) -> list[RecordedRequest]:
    """Feed each socket of a recording to a session of its own."""
    sessions: dict[int, Multiplexer] = {}
    open_now: dict[tuple[int, str, int], RecordedRequest] = {}
    requests_read: list[RecordedRequest] = []
    for item in transcripts.load(name):
        session = sessions.setdefault(item.connection, Multiplexer())
        frame = item.frame
        kind = frame.get("type")
        if item.direction == "c2s" and kind in ("rpcCall", "channelCreate"):
            request = RecordedRequest(frame)
            key = "callId" if kind == "rpcCall" else "channelId"
            if kind == "rpcCall":
                session.rpc_call(request.recorded.pending, frame.get("parameter", {}))
            else:
                session.channel_create(request.recorded.pending, json.dumps(frame.get("creationParameter", {})))
            open_now[item.connection, key, frame[key]] = request
            requests_read.append(request)
        elif item.direction == "s2c" and "type" in frame:
            key = "callId" if "callId" in frame else "channelId"
            found = open_now.get((item.connection, key, frame.get(key, -1)))
            if found is not None:
                found.frames.append(frame)
                frame = {**frame, key: found.recorded.id}  # our own session numbers its requests itself
            session.receive(json.dumps(frame))
    return requests_read


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_request_gets_all_its_packets_and_its_end(name: str) -> None:
    for request in replay(name):
        assert request.recorded.packets == request.packets
        ends = [frame for frame in request.frames if frame["type"] != "channelSend"]
        assert len(request.recorded.ends) == len(ends) <= 1
        for end, frame in zip(request.recorded.ends, ends, strict=True):
            if frame["type"] == "rpcResult":
                assert end == Answer(frame.get("result"))
            elif frame["type"] == "channelClose":
                assert end is CLOSED
            else:
                assert_is_error(end, frame["error"])


def assert_is_error(error: Any, sent: dict[str, Any]) -> None:
    code = sent.get("displayData", {}).get("code")
    assert isinstance(error, CLASSES[code]) if code is None else type(error) is CLASSES[code]
    assert error.title == sent["title"]
    assert str(error).startswith(sent["title"])
    assert error.stack == sent.get("stack")
    if error.stack:
        assert error.stack not in str(error)


def predictions(name: str) -> list[RecordedRequest]:
    return [request for request in replay(name) if request.opening["endpoint"] in ("predict", "completeRawText")]


@pytest.mark.parametrize("name", [name for name in NAMES if predictions(name)])
def test_every_recorded_prediction_gives_the_sent_text(name: str) -> None:
    for request in predictions(name):
        reader = PredictionReader()
        events: list[Any] = []
        error: LMStudioError | None = None
        try:
            for item in (*request.recorded.packets, *request.recorded.ends):
                events.extend(events_of(reader, item))
        except LMStudioError as caught:
            error = caught
        fragments = [packet["fragment"] for packet in request.of_type("fragment")]
        assert [event.content for event in events if isinstance(event, Fragment)] == [f["content"] for f in fragments]
        partial = reader.partial()
        assert partial.content == "".join(
            f["content"] for f in fragments if f["reasoningType"] == "none" and not f.get("isStructural")
        )
        assert partial.reasoning == "".join(f["content"] for f in fragments if f["reasoningType"] == "reasoning")
        sent_calls = [packet["toolCallRequest"] for packet in request.of_type("toolCallGenerationEnd")]
        assert [(call.name, call.arguments) for call in partial.tool_calls] == [
            (call["name"], call.get("arguments", {})) for call in sent_calls
        ]
        ids = [call.id for call in partial.tool_calls]
        assert all(ids)
        assert ids == [call.get("id", made) for call, made in zip(sent_calls, ids, strict=True)]
        assert len(partial.failed_tool_calls) == len(request.of_type("toolCallGenerationFailed"))
        ended = [event.index for event in events if isinstance(event, ToolCallEnd | ToolCallFailed)]
        assert ended == list(range(len(ended)))
        assert_end_fits(request, reader, error)


def assert_end_fits(request: RecordedRequest, reader: PredictionReader, error: LMStudioError | None) -> None:
    successes = request.of_type("success")
    if successes:
        assert error is None
        assert reader.result is not None
        (sent,) = successes
        stats = reader.result.stats.to_wire()
        assert stats == sent["stats"]
        assert reader.result.model_info.to_wire() == sent["modelInfo"]
    elif request.recorded.ends and request.recorded.ends[0] is CLOSED:
        assert type(error) is LMStudioIncompleteError
    elif request.recorded.ends:
        assert error is request.recorded.ends[0]
    else:  # the socket was cut
        assert not reader.ended


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_authentication_reply_is_read(name: str) -> None:
    replies = [
        f.frame
        for f in transcripts.load(name)
        if f.direction == "s2c" and "success" in f.frame and "type" not in f.frame
    ]
    for reply in replies:
        if reply["success"]:
            read_authentication(json.dumps(reply), guest_authentication())
        else:
            with pytest.raises(LMStudioAuthenticationError) as caught:
                read_authentication(json.dumps(reply), guest_authentication())
            assert reply["error"] in str(caught.value)


def test_recordings_have_the_expected_scenarios() -> None:
    """Without this, an empty folder would pass every other test here."""
    requests = [request for name in NAMES for request in replay(name)]
    assert len(requests) > 80
    kinds = {packet["type"] for request in requests for packet in request.packets}
    assert {"fragment", "success", "toolCallGenerationEnd", "promptProcessingProgress", "loadProgress"} <= kinds
    ends = {type(end) for request in requests for end in request.recorded.ends}
    assert {LMStudioModelNotFoundError, LMStudioServerError, Answer} <= ends
