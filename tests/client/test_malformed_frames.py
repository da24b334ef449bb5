"""Any data from the network: nothing raises, every call ends, no packet is delivered to another call."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lmstudio_integrations.client.prediction import PredictionReader
from lmstudio_integrations.client.transport.multiplexer import CLOSED, Answer, Multiplexer
from lmstudio_integrations.errors import LMStudioDisconnectedError, LMStudioError
from tests.packet_builders import called, events_of, fragment, opened

scalars = st.none() | st.booleans() | st.integers(-3, 12) | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
TYPES = ["channelSend", "rpcResult", "rpcError", "channelClose", "channelError", "communicationWarning", "channelAck"]
PACKETS = [
    "fragment",
    "success",
    "promptProcessingProgress",
    "toolCallGenerationStart",
    "toolCallGenerationNameReceived",
    "toolCallGenerationArgumentFragmentGenerated",
    "toolCallGenerationEnd",
    "toolCallGenerationFailed",
    "startLoading",
    "loadProgress",
    "error",
]
near_packets = st.fixed_dictionaries(
    {"type": st.sampled_from(PACKETS) | anything},
    optional={
        "fragment": st.dictionaries(st.sampled_from(["content", "tokensCount", "reasoningType", "tokens"]), anything)
        | anything,
        "progress": anything,
        "details": st.dictionaries(st.sampled_from(["cachedTokenCount", "totalPromptTokenCount"]), anything) | anything,
        "name": anything,
        "content": anything,
        "toolCallId": anything,
        "toolCallRequest": st.dictionaries(st.sampled_from(["id", "name", "arguments", "type"]), anything) | anything,
        "error": anything,
        "stats": st.dictionaries(st.sampled_from(["stopReason", "promptTokensCount"]), anything) | anything,
        "modelInfo": st.dictionaries(st.sampled_from(["modelKey", "identifier", "ttlMs"]), anything) | anything,
        "predictionConfig": st.fixed_dictionaries({"fields": anything}) | anything,
        "rawContent": anything,
        "identifier": anything,
    },
)
near_frames = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES) | anything},
    optional={
        "channelId": st.integers(0, 5) | anything,
        "callId": st.integers(0, 5) | anything,
        "message": near_packets | anything,
        "result": anything,
        "error": anything,
        "warning": anything,
        "kind": anything,
    },
)
frames = st.one_of(
    near_frames.map(json.dumps),
    anything.map(json.dumps),
    st.text(max_size=40),
    st.binary(max_size=40),
    near_frames.map(str),
)


@given(st.lists(frames, max_size=12))
@settings(max_examples=100, deadline=None)
def test_malformed_frames_raise_nothing_and_every_call_ends_once(received: list[Any]) -> None:
    session = Multiplexer()
    calls = [
        opened(session, "predict"),
        called(session, "tokenize"),
        opened(session, "getOrLoad"),
        called(session, "version"),
    ]
    for data in received:
        session.receive(data)
    waiting = sum(not recorded.ends for recorded in calls)
    assert session.open_calls == waiting
    session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    assert [len(recorded.ends) for recorded in calls] == [1, 1, 1, 1]
    assert all(isinstance(end, Answer | LMStudioError) or end is CLOSED for recorded in calls for end in recorded.ends)
    assert all(isinstance(packet, dict) for recorded in calls for packet in recorded.packets)
    assert not calls[1].packets
    assert not calls[3].packets


@given(st.lists(st.text(max_size=40) | st.binary(max_size=40) | anything.map(json.dumps), max_size=8))
@settings(max_examples=100, deadline=None)
def test_malformed_frame_between_valid_frames_affects_neither(junk: list[Any]) -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    message = {"type": "channelSend", "channelId": recorded.id}
    session.receive(json.dumps({**message, "message": fragment("a")}))
    for data in junk:
        session.receive(data)
    session.receive(json.dumps({**message, "message": fragment("b")}))
    session.receive(json.dumps({"type": "channelClose", "channelId": recorded.id}))
    assert recorded.packets == [fragment("a"), fragment("b")]
    assert recorded.ends == [CLOSED]


@given(st.lists(near_packets | anything, max_size=12))
@settings(max_examples=120, deadline=None)
def test_prediction_reader_raises_only_its_own_errors_and_always_ends(packets: list[Any]) -> None:
    reader = PredictionReader(structured=True)
    raised: LMStudioError | None = None
    try:
        for packet in packets:
            if reader.ended:
                break
            for event in events_of(reader, packet):
                # Whatever was handed out can be looked at from all sides.
                repr(event)
                for name in ("tokens_count", "tokens", "reasoning_type", "is_visible", "is_structural"):
                    getattr(event, name, None)
                assert getattr(event, "index", 0) >= 0
        if not reader.ended:
            reader.read(CLOSED)
    except LMStudioError as error:
        raised = error
    assert reader.ended
    assert reader.error is raised
    assert raised is None or raised.partial is not None
    for text in (reader.content, reader.reasoning):
        text.encode()


@given(st.text(alphabet="a😀é世\u0301", max_size=20), st.lists(st.integers(0, 40), max_size=6))
def test_text_split_anywhere_in_utf_16_arrives_complete(text: str, cuts: list[int]) -> None:
    units = text.encode("utf-16-le")
    places = [0, *sorted(2 * cut for cut in cuts if 2 * cut <= len(units)), len(units)]
    pieces = [units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(places)]
    reader = PredictionReader()
    for piece in pieces:
        reader.read(fragment(piece))
    assert reader.content == text
