"""The witnesses themselves: they accept what LM Studio's library accepted and refuse what has been tampered with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.frame_validation import schema, sdk_models, transcripts
from tests.frame_validation.conversation import ABSENT, Direction, Socket
from tests.frame_validation.emulators import Watch, check_emulator
from tests.frame_validation.shared import needs_shared

NAMES = transcripts.names()
Frames = list[tuple[Direction, str, int, Any]]


def _frames(name: str) -> Frames:
    return [tuple(copy.deepcopy(frame)) for frame in transcripts.load(name)]


@needs_shared
@pytest.mark.parametrize("name", NAMES)
def test_both_witnesses_accept_every_recorded_frame(name: str) -> None:
    assert schema.check_conversation(_frames(name)) == len(_frames(name)) > 0
    assert sdk_models.check_conversation(_frames(name)) > 0


@needs_shared
def test_recordings_are_complete_and_of_both_sdks() -> None:
    assert len(NAMES) == 56
    assert {name.rpartition(".")[2] for name in NAMES} == {"js20", "py16"}


def _edit_message(kind: str, edit: Callable[[Any], None]) -> Callable[[Any], bool]:
    def apply(frame: Any) -> bool:
        message = frame.get("message") if isinstance(frame, dict) else None
        if isinstance(message, dict) and message.get("type") == kind:
            edit(message)
            return True
        return False

    return apply


def _edit_creation(endpoint: str, edit: Callable[[Any], None]) -> Callable[[Any], bool]:
    def apply(frame: Any) -> bool:
        if frame.get("type") == "channelCreate" and frame["endpoint"] == endpoint:
            edit(frame)
            return True
        return False

    return apply


def _edit_type(kind: str, edit: Callable[[Any], None]) -> Callable[[Any], bool]:
    def apply(frame: Any) -> bool:
        if frame.get("type") == kind:
            edit(frame)
            return True
        return False

    return apply


def _history(frame: Any) -> Any:
    return frame["creationParameter"]["history"]["messages"]


MUTATIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "a fragment without content": ("respond.js20", _edit_message("fragment", lambda m: m["fragment"].pop("content"))),
    "a reasoning type nobody knows": (
        "reasoning.js20",
        _edit_message("fragment", lambda m: m["fragment"].update(reasoningType="musing")),
    ),
    "a packet of an unknown type": ("respond.js20", _edit_message("fragment", lambda m: m.update(type="shard"))),
    "a stop reason nobody knows": (
        "respond.js20",
        _edit_message("success", lambda m: m["stats"].update(stopReason="bored")),
    ),
    "a null where a key may only be absent": (
        "act.js20",
        _edit_message("toolCallGenerationEnd", lambda m: m["toolCallRequest"].update(id=None)),
    ),
    "progress as text": (
        "respond.py16",
        _edit_message("promptProcessingProgress", lambda m: m.update(progress="half")),
    ),
    "an instance without a reference": (
        "jit_load.js20",
        _edit_message("loadSuccess", lambda m: m["info"].pop("instanceReference")),
    ),
    "content that is text": (
        "respond.js20",
        _edit_creation("predict", lambda f: _history(f)[0].update(content="Hello")),
    ),
    "a role nobody knows": (
        "respond.js20",
        _edit_creation("predict", lambda f: _history(f)[0].update(role="developer")),
    ),
    "a misspelt key": (
        "respond.js20",
        _edit_creation("predict", lambda f: f["creationParameter"].update(fuzzyPreset="x")),
    ),
    "a layer nobody knows": (
        "respond.js20",
        _edit_creation(
            "predict", lambda f: f["creationParameter"]["predictionConfigStack"]["layers"][0].update(layerName="mine")
        ),
    ),
    "a time to live of zero": (
        "jit_load.js20",
        _edit_creation("getOrLoad", lambda f: f["creationParameter"].update(loadTtlMs=0)),
    ),
    "an endpoint nobody knows": ("respond.js20", _edit_creation("predict", lambda f: f.update(endpoint="foretell"))),
    "a channel without an id": ("respond.js20", _edit_creation("predict", lambda f: f.pop("channelId"))),
    "an id that is text": ("respond.js20", _edit_creation("predict", lambda f: f.update(channelId="1"))),
    "an id that is a truth value": ("respond.js20", _edit_creation("predict", lambda f: f.update(channelId=True))),
    "a parameter for a call that takes none": ("list.js20", _edit_type("rpcCall", lambda f: f.update(parameter={}))),
    "null for a call that takes none": ("list.js20", _edit_type("rpcCall", lambda f: f.update(parameter=None))),
    "no parameter for a call that takes one": (
        "tokenize.js20",
        _edit_type("rpcCall", lambda f: f.pop("parameter", None)),
    ),
    "a result of the wrong shape": (
        "tokenize.js20",
        _edit_type("rpcResult", lambda f: f.update(result={"tokens": "a"})),
    ),
    "an answer without a result": ("tokenize.js20", _edit_type("rpcResult", lambda f: f.pop("result", None))),
    "an answer to a call that nobody made": ("list.js20", _edit_type("rpcResult", lambda f: f.update(callId=99))),
    "a close of a channel that is not open": (
        "respond.js20",
        _edit_type("channelClose", lambda f: f.update(channelId=9)),
    ),
    "a message type nobody knows": ("respond.js20", _edit_type("channelClose", lambda f: f.update(type="channelShut"))),
    "a key that the envelope does not have": (
        "respond.js20",
        _edit_type("channelClose", lambda f: f.update(reason="x")),
    ),
}


@needs_shared
@pytest.mark.parametrize("what", MUTATIONS)
def test_schema_refuses_a_changed_frame(what: str) -> None:
    name, tamper = MUTATIONS[what]
    frames = _frames(name)
    assert any(tamper(frame) for *_, frame in frames), "the recording has no such frame"
    with pytest.raises(AssertionError, match=r"^frame \d+, from the (client|server) on /(llm|system|embedding): "):
        schema.check_conversation(frames)


@needs_shared
@pytest.mark.parametrize(
    "what",
    ["a fragment without content", "an instance without a reference", "content that is text", "progress as text"],
)
def test_sdk_models_refuse_a_changed_frame(what: str) -> None:
    name, tamper = MUTATIONS[what]
    frames = _frames(name)
    assert any(tamper(frame) for *_, frame in frames)
    with pytest.raises(AssertionError, match="the SDK's model of"):
        sdk_models.check_conversation(frames)


def test_sdk_has_the_most_used_endpoints() -> None:
    for kind, endpoint, part in (
        ("channel", "predict", "creationParameter"),
        ("channel", "predict", "toClientPacket"),
        ("channel", "getOrLoad", "toClientPacket"),
        ("channel", "loadModel", "creationParameter"),
        ("rpc", "getModelInfo", "parameter"),
        ("rpc", "tokenize", "returns"),
    ):
        assert sdk_models.knows("llm", kind, endpoint, part), (kind, endpoint, part)  # type: ignore[arg-type]
    assert sdk_models.knows("embedding", "rpc", "embedString", "parameter")
    assert sdk_models.knows("system", "rpc", "listDownloadedModels", "returns")
    assert not sdk_models.knows("llm", "channel", "completeRawText", "creationParameter")


AUTH = {"authVersion": 1, "clientIdentifier": "a", "clientPasskey": "b"}
VERSION = {"type": "rpcCall", "endpoint": "version", "callId": 1}
ANSWER = {"type": "rpcResult", "callId": 1, "result": {"version": "0.4.0", "build": 1}}


def _check(*frames: tuple[Direction, Any]) -> int:
    return sdk_models.check_conversation([(way, "system", 1, frame) for way, frame in frames])


def test_frame_before_the_authentications_reply_is_refused() -> None:
    assert _check(("c2s", AUTH), ("s2c", {"success": True}), ("c2s", VERSION), ("s2c", ANSWER)) == 4
    with pytest.raises(AssertionError, match="swallowed"):
        _check(("c2s", AUTH), ("c2s", VERSION), ("s2c", {"success": True}))


def test_cancel_that_crosses_the_close_is_allowed_and_an_unknown_channel_is_not() -> None:
    create = {"type": "channelCreate", "endpoint": "alive", "channelId": 4}
    close = {"type": "channelClose", "channelId": 4}
    late = {"type": "channelSend", "channelId": 4, "message": {"type": "cancel"}}
    assert _check(("c2s", create), ("s2c", close), ("c2s", late)) == 3
    with pytest.raises(AssertionError, match="channel 4 was never open"):
        _check(("c2s", late))


def test_channel_id_may_be_reused_only_after_its_close() -> None:
    create = {"type": "channelCreate", "endpoint": "alive", "channelId": 4}
    close = {"type": "channelClose", "channelId": 4}
    assert _check(("c2s", create), ("s2c", close), ("c2s", create)) == 3
    with pytest.raises(AssertionError, match="channel 4 is open already"):
        _check(("c2s", create), ("c2s", create))


def test_packets_after_the_close_are_refused() -> None:
    create = {"type": "channelCreate", "endpoint": "alive", "channelId": 4}
    close = {"type": "channelClose", "channelId": 4}
    with pytest.raises(AssertionError, match="channel 4 is not open"):
        _check(("c2s", create), ("s2c", close), ("s2c", close))


def test_unrequested_keep_alive_ack_is_refused() -> None:
    assert _check(("c2s", {"type": "keepAlive"}), ("s2c", {"type": "keepAliveAck"})) == 2
    with pytest.raises(AssertionError, match="nobody asked"):
        _check(("s2c", {"type": "keepAliveAck"}))


@needs_shared
def test_single_frames_are_checked_with_the_sockets_state() -> None:
    socket = Socket()
    schema.check_client_frame("system", VERSION, socket)
    schema.check_server_frame("system", ANSWER, socket)
    with pytest.raises(AssertionError, match="nobody waits for call 1"):
        schema.check_server_frame("system", ANSWER, socket)


@needs_shared
def test_absent_and_null_members_differ() -> None:
    witness = schema.SchemaWitness()
    witness.complain("llm", "rpc", "getModelInfo", "returns", ABSENT)
    with pytest.raises(AssertionError, match="getModelInfo/returns"):
        witness.complain("llm", "rpc", "getModelInfo", "returns", None)


@dataclass
class _Noted:
    namespace: str
    message: Any
    connection: int
    order: int


class _Server:
    def __init__(self) -> None:
        self.requests: list[_Noted] = []
        self.sent: list[_Noted] = []


def test_emulators_record_is_read_in_order_and_once() -> None:
    server = _Server()
    server.requests += [_Noted("system", AUTH, 1, 1), _Noted("system", VERSION, 1, 3)]
    server.sent += [_Noted("system", {"success": True}, 1, 2), _Noted("system", ANSWER, 1, 4)]
    watch = Watch(server)
    assert watch.check() == 4
    assert watch.check() == 0
    server.sent.append(_Noted("system", ANSWER, 1, 5))
    with pytest.raises(AssertionError, match="from the server on /system: nobody waits for call 1"):
        watch.check()


def test_offences_of_the_unchecked_side_are_ignored() -> None:
    server = _Server()
    server.requests.append(_Noted("system", {"type": "nonsense"}, 1, 1))
    server.sent.append(_Noted("system", {"type": "nonsense"}, 1, 2))
    with pytest.raises(AssertionError, match="from the client"):
        check_emulator(server)
    with pytest.raises(AssertionError, match="from the server"):
        check_emulator(server, client_counts=False)
    assert check_emulator(server, client_counts=False, server_counts=False) == 2


def test_answer_to_an_invalid_request_is_no_offence() -> None:
    server = _Server()
    server.requests += [_Noted("system", AUTH, 1, 1), _Noted("system", VERSION | {"extra": 1}, 1, 3)]
    server.sent += [_Noted("system", {"success": True, "extra": 1}, 1, 2), _Noted("system", ANSWER, 1, 4)]
    with pytest.raises(AssertionError, match="frame 2, from the server on /system: keys beside success"):
        check_emulator(server, client_counts=False)
    server.sent[0].message = {"success": True}
    assert check_emulator(server, client_counts=False) == 4


def test_record_without_its_beginning_is_no_offence() -> None:
    server = _Server()
    server.sent.append(_Noted("system", ANSWER, 1, 900))
    assert check_emulator(server) == 1
