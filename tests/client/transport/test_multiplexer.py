"""Ids, routing and ends of the conversations on one socket."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from lmstudio_integrations.client.transport.multiplexer import CLOSED, Answer, Multiplexer, read_authentication
from lmstudio_integrations.errors import (
    LMStudioAuthenticationError,
    LMStudioDisconnectedError,
    LMStudioModelNotFoundError,
    LMStudioProtocolError,
    LMStudioServerError,
)
from lmstudio_integrations.protocol.auth import guest_authentication, token_authentication
from lmstudio_integrations.protocol.json_text import encode
from tests.packet_builders import RecordedCall, called, fragment, frame, opened


def test_calls_and_channels_share_one_counter_of_ids() -> None:
    session = Multiplexer()
    assert [called(session, "version").id, opened(session, "predict").id, called(session, "version").id] == [0, 1, 2]


def test_rpc_without_a_parameter_has_no_parameter_key() -> None:
    assert json.loads(Multiplexer().rpc_call(RecordedCall("version").pending)) == {
        "type": "rpcCall",
        "endpoint": "version",
        "callId": 0,
    }


def test_rpc_sends_its_parameter() -> None:
    assert json.loads(Multiplexer().rpc_call(RecordedCall("tokenize").pending, '{"inputString":"é"}')) == {
        "type": "rpcCall",
        "endpoint": "tokenize",
        "callId": 0,
        "parameter": {"inputString": "é"},
    }


def test_channel_create_has_the_creation_parameter() -> None:
    assert json.loads(Multiplexer().channel_create(RecordedCall("predict").pending, '{"a": 1}')) == {
        "type": "channelCreate",
        "endpoint": "predict",
        "channelId": 0,
        "creationParameter": {"a": 1},
    }


@pytest.mark.parametrize("creation", [{}, {"a": {"b": ["é", "}", '"']}}, {"type": "x", "channelId": 9}])
def test_creation_parameter_is_sent_unchanged(creation: dict[str, Any]) -> None:
    session = Multiplexer()
    for number in range(12):
        written = session.channel_create(RecordedCall('an "endpoint"').pending, encode(creation))
        assert written == encode(
            {
                "type": "channelCreate",
                "endpoint": 'an "endpoint"',
                "channelId": number,
                "creationParameter": creation,
            }
        )


def test_packets_are_delivered_to_their_channel_in_order() -> None:
    session = Multiplexer()
    one, two = opened(session, "predict"), opened(session, "predict")
    for recorded, text in ((two, "b1"), (one, "a1"), (two, "b2")):
        session.receive(frame("channelSend", channelId=recorded.id, message=fragment(text)))
    assert [packet["fragment"]["content"] for packet in one.packets] == ["a1"]
    assert [packet["fragment"]["content"] for packet in two.packets] == ["b1", "b2"]
    assert not one.ends
    assert not two.ends


def test_rpc_and_channel_with_one_id_are_kept_apart() -> None:
    session = Multiplexer()
    call, channel = called(session, "version"), opened(session, "predict")
    session.receive(frame("channelSend", channelId=call.id, message=fragment("lost")))
    session.receive(frame("channelClose", channelId=call.id))
    session.receive(frame("rpcResult", callId=channel.id, result=1))
    assert (call.packets, call.ends, channel.packets, channel.ends) == ([], [], [], [])


def test_rpc_result_ends_its_call() -> None:
    session = Multiplexer()
    one, two = called(session, "version"), called(session, "version")
    session.receive(frame("rpcResult", callId=two.id, result={"x": 1}))
    assert two.ends == [Answer({"x": 1})]
    assert not one.ends
    assert session.open_calls == 1


def test_void_rpc_result_is_none() -> None:
    session = Multiplexer()
    recorded = called(session, "unloadModel")
    session.receive(frame("rpcResult", callId=recorded.id))
    assert recorded.ends == [Answer(None)]


def test_id_written_as_a_decimal_is_the_same_id() -> None:
    session = Multiplexer()
    recorded = called(session, "version")
    session.receive('{"type":"rpcResult","callId":0.0,"result":5}')
    assert recorded.ends == [Answer(5)]


@pytest.mark.parametrize("bad", [True, False, None, "0", [0], {"a": 0}, 0.5])
def test_invalid_id_ends_no_call(bad: Any) -> None:
    session = Multiplexer()
    calls = [called(session, "version"), called(session, "version")]
    for kind in ("rpcResult", "rpcError"):
        session.receive(frame(kind, callId=bad, result=1, error={}))
    assert [recorded.ends for recorded in calls] == [[], []]


def test_rpc_error_ends_its_call() -> None:
    session = Multiplexer()
    recorded = called(session, "getModelInfo")
    error = {"title": "No model", "displayData": {"code": "generic.noModelMatchingQuery", "loadedModelsSample": ["a"]}}
    session.receive(frame("rpcError", callId=recorded.id, error=error))
    (end,) = recorded.ends
    assert isinstance(end, LMStudioModelNotFoundError)
    assert "Loaded models: a" in str(end)


@pytest.mark.parametrize("error", [None, 5, "words", [], {"title": 5}, {}])
def test_malformed_rpc_error_is_an_error(error: Any) -> None:
    session = Multiplexer()
    call, channel = called(session, "version"), opened(session, "predict")
    session.receive(frame("rpcError", callId=call.id, error=error))
    session.receive(frame("channelError", channelId=channel.id, error=error))
    assert [type(end) for end in (*call.ends, *channel.ends)] == [LMStudioServerError, LMStudioServerError]


def test_channel_close_ends_the_channel_and_later_packets_are_discarded() -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    session.receive(frame("channelClose", channelId=recorded.id))
    session.receive(frame("channelSend", channelId=recorded.id, message=fragment("late")))
    session.receive(frame("channelClose", channelId=recorded.id))
    session.receive(frame("channelError", channelId=recorded.id, error={}))
    assert recorded.ends == [CLOSED]
    assert not recorded.packets
    assert session.open_calls == 0


def test_channel_message_is_sent_on_an_open_channel_only() -> None:
    session = Multiplexer()
    channel, call = opened(session, "predict"), called(session, "version")
    sent = session.channel_send(channel.pending, {"type": "cancel"})
    assert sent is not None
    assert json.loads(sent) == {"type": "channelSend", "channelId": 0, "message": {"type": "cancel"}}
    session.receive(frame("channelClose", channelId=channel.id))
    assert session.channel_send(channel.pending, {"type": "cancel"}) is None
    assert session.channel_send(call.pending, {"type": "cancel"}) is None


def test_forgotten_call_gets_no_more_packets() -> None:
    session = Multiplexer()
    call, channel = called(session, "version"), opened(session, "predict")
    session.forget(call.pending)
    session.forget(channel.pending)
    session.receive(frame("rpcResult", callId=call.id, result=1))
    session.receive(frame("channelSend", channelId=channel.id, message=fragment("x")))
    session.receive(frame("channelClose", channelId=channel.id))
    session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    assert (call.ends, channel.packets, channel.ends) == ([], [], [])
    assert session.open_calls == 0


def test_connection_lost_fails_each_call_with_a_separate_error() -> None:
    session = Multiplexer()
    calls = [called(session, "version"), *(opened(session, "predict") for _ in range(3))]
    session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    errors = [end for recorded in calls for end in recorded.ends]
    assert [type(error) for error in errors] == [LMStudioDisconnectedError] * 4
    assert len({id(error) for error in errors}) == 4


def test_connection_lost_twice_fails_each_call_once() -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    for _ in range(2):
        session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    assert len(recorded.ends) == 1


def test_request_on_a_lost_socket_fails_at_once() -> None:
    session = Multiplexer()
    session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    for recorded in (called(session, "version"), opened(session, "predict")):
        assert [type(end) for end in recorded.ends] == [LMStudioDisconnectedError]
    assert session.open_calls == 0


def test_request_started_while_calls_fail_fails_too() -> None:
    session = Multiplexer()
    second = RecordedCall("version")
    first = RecordedCall("version")
    first.pending.finish = lambda _: session.rpc_call(second.pending)
    session.rpc_call(first.pending)
    session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    assert [type(end) for end in second.ends] == [LMStudioDisconnectedError]


def test_call_forgotten_while_calls_fail_gets_no_error() -> None:
    session = Multiplexer()
    first, second = RecordedCall("version"), RecordedCall("version")
    first.pending.finish = lambda _: session.forget(second.pending)
    session.rpc_call(first.pending)
    session.rpc_call(second.pending)
    session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    assert not second.ends


def test_packet_sets_response_started_of_its_call() -> None:
    session = Multiplexer()
    one, two = opened(session, "predict"), opened(session, "predict")
    session.receive(frame("channelSend", channelId=one.id, message=fragment("x")))
    assert (one.pending.answered, two.pending.answered) == (True, False)
    assert one.pending.last == fragment("x")
    assert one.pending.heard > 0


@pytest.mark.parametrize("packet", [None, 5, "text", [], [{"type": "fragment"}], True])
def test_packet_that_is_no_object_is_ignored(packet: Any) -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    session.receive(frame("channelSend", channelId=recorded.id, message=packet))
    session.receive(frame("channelSend", channelId=recorded.id, message=fragment("x")))
    assert recorded.packets == [fragment("x")]
    assert not recorded.ends


GARBAGE = [
    "",
    "{",
    "no JSON",
    "null",
    "5",
    '"channelSend"',
    "[]",
    "[1, 2]",
    "{}",
    '{"type": null}',
    '{"type": []}',
    '{"type": {"a": 1}}',
    '{"type": "channelSend"}',
    '{"type": "channelSend", "channelId": 0}',
    '{"type": "channelSend", "channelId": [0], "message": {}}',
    '{"type": "channelSend", "channelId": 99, "message": {}}',
    '{"type": "channelSend", "channelId": NaN, "message": {}}',
    '{"type": "rpcResult"}',
    '{"type": "rpcError"}',
    '{"type": "channelClose"}',
    '{"type": "communicationWarning"}',
    '{"type": "channelAck", "channelId": 0, "ackId": 1}',
    '{"type": "keepAliveAck"}',
    '{"type": "signalUpdate", "subscribeId": 0, "patches": [], "tags": []}',
    '{"type": "somethingNew", "channelId": 0}',
    '{"success": true}',
    "[" * 5000,
    '{"type": "channelSend", "channelId": 0, "message": ' + "[" * 5000,
    b"\xff\xfe\x00",
    b'{"type": "\xff"}',
    bytearray(b"{"),
]


@pytest.mark.parametrize("data", GARBAGE, ids=lambda data: repr(data)[:60])
def test_malformed_frames_do_not_affect_calls(data: Any) -> None:
    session = Multiplexer()
    channel = opened(session, "predict")
    if b"communicationWarning" not in (data.encode() if isinstance(data, str) else data):
        call = called(session, "version")
        session.receive(data)
        session.receive(frame("rpcResult", callId=call.id, result=1))
        assert call.ends == [Answer(1)]
        session.receive(frame("channelSend", channelId=channel.id, message=fragment("x")))
        session.receive(frame("channelClose", channelId=channel.id))
        assert channel.packets == [fragment("x")]
        assert channel.ends == [CLOSED]
    else:
        session.receive(data)  # an empty warning may mean any request, so all fail
        assert len(channel.ends) == 1


def test_unknown_messages_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    session = Multiplexer()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            session.receive("garbage")
            session.receive('{"type": "somethingNew"}')
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "somethingNew" in caplog.text


def test_ever_new_unknown_messages_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    session = Multiplexer()
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            session.receive(json.dumps({"type": f"new{number}"}))
    assert len(caplog.records) < 50


def test_binary_frame_is_read_as_text() -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    message = frame("channelSend", channelId=recorded.id, message=fragment("grüße 😀")).encode()
    session.receive(message)
    session.receive(bytearray(message))
    assert recorded.packets == [fragment("grüße 😀")] * 2


@pytest.mark.parametrize(
    "packet",
    [fragment("\ud83d"), {"type": "toolCallGenerationArgumentFragmentGenerated", "content": '{"a": "\ud83d'}],
)
def test_lone_surrogate_in_streamed_text_waits_for_the_other_half(packet: dict[str, Any]) -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    session.receive(frame("channelSend", channelId=0, message=packet))
    assert recorded.packets == [packet]


def test_lone_surrogate_outside_of_streamed_text_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    request = {"id": "1", "type": "function", "name": "f", "arguments": {"\ud83d": ["x\ud83d", 1, None]}}
    packet = {"type": "toolCallGenerationEnd", "toolCallRequest": request, "rawContent": "\ude00"}
    session.receive(frame("channelSend", channelId=0, message=packet))
    (received,) = recorded.packets
    assert received["toolCallRequest"]["arguments"] == {"\ufffd": ["x\ufffd", 1, None]}
    assert received["rawContent"] == "\ufffd"
    session.receive(frame("communicationWarning", warning="Received invalid creation parameter: \ud83d", kind="?"))
    assert "creation parameter: \ufffd" in caplog.text


def test_unknown_members_of_an_envelope_are_ignored() -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    session.receive(frame("channelSend", channelId=recorded.id, message=fragment("x"), ackId=5, newer={"a": 1}))
    session.receive(frame("channelClose", channelId=recorded.id, newer=1))
    assert (recorded.packets, recorded.ends) == ([fragment("x")], [CLOSED])


# Authentication

TOKEN = "sk-lm-AbCd1234:abcdefghij0123456789"


def test_successful_authentication_reply_is_accepted() -> None:
    read_authentication('{"success": true}', guest_authentication())
    read_authentication(b'{"success": true, "newer": 1}', guest_authentication())


@pytest.mark.parametrize("reply", ["", "{}", "[]", "5", '"success"', '{"type": "x"}', b"\xff"])
def test_invalid_authentication_reply_raises_protocol_error(reply: Any) -> None:
    with pytest.raises(LMStudioProtocolError, match="does not speak"):
        read_authentication(reply, guest_authentication())


@pytest.mark.parametrize("success", [False, None, 1, "true"])
def test_success_other_than_true_is_a_refusal(success: Any) -> None:
    with pytest.raises(LMStudioAuthenticationError, match="no reason given"):
        read_authentication(json.dumps({"success": success}), guest_authentication())


def test_refusal_has_the_servers_words_and_the_kind_of_identity() -> None:
    reply = json.dumps({"success": False, "error": "No guests today"})
    with pytest.raises(LMStudioAuthenticationError, match="refused the guest: No guests today"):
        read_authentication(reply, guest_authentication())
    with pytest.raises(LMStudioAuthenticationError, match="refused the API token"):
        read_authentication(reply, token_authentication(TOKEN))


def test_passkey_in_a_refusal_is_not_repeated() -> None:
    reply = json.dumps({"success": False, "error": "abcdefghij0123456789 is wrong"})
    with pytest.raises(LMStudioAuthenticationError) as caught:
        read_authentication(reply, token_authentication(TOKEN))
    assert "abcdefghij0123456789" not in str(caught.value)


def test_unknown_types_are_logged_shortened(caplog: pytest.LogCaptureFixture) -> None:
    session = Multiplexer()
    session.receive(frame("x" * 100_000))
    session.receive(json.dumps({"type": ["y" * 100_000]}))
    assert len(caplog.records) == 2
    assert all(len(record.getMessage()) < 200 for record in caplog.records)
