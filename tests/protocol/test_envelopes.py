from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.envelope_models import ChannelCreate, ChannelSend, RpcCall, parse_client_message
from lmstudio_integrations.protocol.envelopes import SerializedError
from lmstudio_integrations.protocol.json_text import decode, encode
from tests.frame_validation import transcripts
from tests.frame_validation.shared import needs_shared
from tests.protocol.strategies import json_values


@given(json_values)
def test_json_values_survive_writing_and_reading(value: Any) -> None:
    assert decode(encode(value)) == value
    assert decode(encode(value).encode()) == value


@given(json_values)
def test_equal_values_give_equal_text(value: Any) -> None:
    assert encode(value) == encode(json.loads(json.dumps(value)))


def test_json_text_keeps_key_order_without_padding() -> None:
    assert encode({"b": 1, "a": [1.0, None, "ä😀"]}) == '{"b":1,"a":[1.0,null,"ä😀"]}'


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {"b": math.nan}]}, "$.a[1].b"),
        ({"a": math.inf}, "$.a"),
        ({"a": ["ok", "half \ud83d"]}, "$.a[1]"),
        ({"half \ud83d": 1}, "$"),
        ({"a": {1, 2}}, "$.a"),
        ({"a": b"bytes"}, "$.a"),
        ({"a": {(1, 2): 3}}, "$.a"),
        ([object()], "$[0]"),
    ],
)
def test_value_outside_json_raises_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(LMStudioValueError) as caught:
        encode(value)
    assert str(caught.value).startswith(path)


def test_value_that_default_writes_is_not_the_problem() -> None:
    def default(value: object) -> str:
        if isinstance(value, bytes):
            return value.decode()
        raise TypeError(f"{type(value).__name__} is no text")

    assert encode({"a": b"text"}, default) == '{"a":"text"}'
    with pytest.raises(LMStudioValueError, match=r"^\$\.b: nan"):
        encode({"a": b"text", "b": math.nan}, default)
    with pytest.raises(LMStudioValueError, match=r"^\$\.b: set is no text"):
        encode({"a": b"text", "b": set()}, default)


def test_cyclic_or_infinite_value_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(LMStudioValueError, match="contains itself"):
        encode({"a": loop})
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(LMStudioValueError, match="too deeply"):
        encode(deep)


@pytest.mark.parametrize(
    "frame", ["", "{", "nonsense", "NaN", '{"a":Infinity}', '{"a":1}x', b"\xff\xfe", "[" * 100_000]
)
def test_malformed_frame_raises_value_error(frame: str | bytes) -> None:
    with pytest.raises(ValueError):
        decode(frame)


def test_escaped_lone_surrogate_is_read() -> None:
    assert decode('{"content":"\\ud83d"}') == {"content": "\ud83d"}


def test_rpc_without_a_parameter_has_no_parameter_key() -> None:
    assert RpcCall(endpoint="version", call_id=0).to_wire() == {"type": "rpcCall", "endpoint": "version", "callId": 0}
    assert encode(RpcCall(endpoint="version", call_id=0)) == '{"type":"rpcCall","endpoint":"version","callId":0}'


def test_absent_and_null_parameters_differ() -> None:
    call = {"type": "rpcCall", "endpoint": "version", "callId": 1}
    absent, null = parse_client_message(call), parse_client_message(call | {"parameter": None})
    assert isinstance(absent, RpcCall)
    assert isinstance(null, RpcCall)
    assert (absent.has_parameter, null.has_parameter) == (False, True)
    create = {"type": "channelCreate", "endpoint": "alive", "channelId": 1}
    opened = parse_client_message(create | {"creationParameter": None})
    assert isinstance(opened, ChannelCreate)
    assert opened.has_creation_parameter


@pytest.mark.parametrize(
    ("number", "accepted"),
    [(0, True), (-3, True), (1.0, True), (1.5, False), ("1", False), (True, False), (None, False), ([1], False)],
)
def test_id_must_be_a_json_integer(number: Any, accepted: bool) -> None:
    raw = {"type": "channelSend", "channelId": number, "message": {}}
    if accepted:
        message = parse_client_message(raw)
        assert isinstance(message, ChannelSend)
        assert type(message.channel_id) is int
        assert message.channel_id == number
    else:
        with pytest.raises(ValueError):
            parse_client_message(raw)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "keepAlive",
        {},
        {"type": None},
        {"type": ["rpcCall"]},
        {"type": "nonsense"},
        {"type": "channelClose", "channelId": 1},
        {"type": "rpcResult", "callId": 1},
        {"type": "rpcCall", "callId": 1},
        {"type": "rpcCall", "endpoint": 5, "callId": 1},
        {"type": "rpcCall", "endpoint": "version", "call_id": 1},
        {"type": "writableSignalUpdate", "subscribeId": 1},
    ],
)
def test_invalid_client_message_raises_value_error(raw: Any) -> None:
    with pytest.raises(ValueError):
        parse_client_message(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "keepAlive"},
        {"type": "signalSubscribe", "endpoint": "x", "subscribeId": 1},
        {"type": "signalUnsubscribe", "subscribeId": 1},
        {"type": "writableSignalSubscribe", "endpoint": "x", "subscribeId": 1, "creationParameter": {}},
        {"type": "writableSignalUnsubscribe", "subscribeId": 1},
        {"type": "writableSignalUpdate", "subscribeId": 1, "patches": [], "tags": []},
        {"type": "communicationWarning", "warning": "w", "kind": "unknown"},
        {"type": "channelAck", "channelId": 1, "ackId": 2},
        {"type": "channelSend", "channelId": 1, "message": {"type": "cancel"}, "ackId": 2},
    ],
)
def test_every_client_message_survives_reading_and_writing(raw: dict[str, Any]) -> None:
    assert parse_client_message(raw).to_wire() == raw


@needs_shared
@pytest.mark.parametrize("name", transcripts.names())
def test_recorded_client_envelopes_survive_reading_and_writing(name: str) -> None:
    for frame in transcripts.load(name):
        if "type" in frame.frame and frame.direction == "c2s":
            assert parse_client_message(frame.frame).to_wire() == frame.frame


@given(json_values)
def test_any_error_object_is_read(value: Any) -> None:
    assert isinstance(SerializedError.from_any(value).title, str)
    for name in ("title", "cause", "suggestion", "errorData", "displayData", "stack", "rootTitle"):
        error = SerializedError.from_any({name: value})
        kept = error.to_wire()
        wanted = dict if name.endswith("Data") else str
        assert kept.get(name, "Unknown error") == (value if isinstance(value, wanted) else "Unknown error")
