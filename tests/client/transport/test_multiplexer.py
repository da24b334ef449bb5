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
from lmstudio_integrations.protocol.envelopes import encode
from tests.packet_builders import RecordedCall, called, fragment, frame, opened


def test_calls_and_channels_share_one_counter_of_ids() -> None:
    session = Multiplexer()
    assert [called(session, "version").id, opened(session, "predict").id, called(session, "version").id] == [0, 1, 2]


def test_a_call_without_a_parameter_has_no_key_for_it() -> None:
    assert json.loads(Multiplexer().call(RecordedCall("version").pending)) == {
        "type": "rpcCall",
        "endpoint": "version",
        "callId": 0,
    }


def test_a_call_takes_its_parameter_along() -> None:
    assert json.loads(Multiplexer().call(RecordedCall("tokenize").pending, '{"inputString":"é"}')) == {
        "type": "rpcCall",
        "endpoint": "tokenize",
        "callId": 0,
        "parameter": {"inputString": "é"},
    }


def test_a_channel_is_opened_with_its_creation_parameter() -> None:
    assert json.loads(Multiplexer().open(RecordedCall("predict").pending, '{"a": 1}')) == {
        "type": "channelCreate",
        "endpoint": "predict",
        "channelId": 0,
        "creationParameter": {"a": 1},
    }


@pytest.mark.parametrize("creation", [{}, {"a": {"b": ["é", "}", '"']}}, {"type": "x", "channelId": 9}])
def test_a_creation_parameter_goes_out_as_it_was_written(creation: dict[str, Any]) -> None:
    session = Multiplexer()
    for number in range(12):
        written = session.open(RecordedCall('an "endpoint"').pending, encode(creation))
        assert written == encode(
            {
                "type": "channelCreate",
                "endpoint": 'an "endpoint"',
                "channelId": number,
                "creationParameter": creation,
            }
        )


def test_packets_reach_their_own_channel_in_order() -> None:
    session = Multiplexer()
    one, two = opened(session, "predict"), opened(session, "predict")
    for recorded, text in ((two, "b1"), (one, "a1"), (two, "b2")):
        session.receive(frame("channelSend", channelId=recorded.id, message=fragment(text)))
    assert [packet["fragment"]["content"] for packet in one.packets] == ["a1"]
    assert [packet["fragment"]["content"] for packet in two.packets] == ["b1", "b2"]
    assert not one.ends
    assert not two.ends


def test_a_call_and_a_channel_are_not_taken_for_each_other() -> None:
    session = Multiplexer()
    call, channel = called(session, "version"), opened(session, "predict")
    session.receive(frame("channelSend", channelId=call.id, message=fragment("lost")))
    session.receive(frame("channelClose", channelId=call.id))
    session.receive(frame("rpcResult", callId=channel.id, result=1))
    assert (call.packets, call.ends, channel.packets, channel.ends) == ([], [], [], [])


def test_a_result_ends_its_call() -> None:
    session = Multiplexer()
    one, two = called(session, "version"), called(session, "version")
    session.receive(frame("rpcResult", callId=two.id, result={"x": 1}))
    assert two.ends == [Answer({"x": 1})]
    assert not one.ends
    assert session.open_calls == 1


def test_a_void_result_is_none() -> None:
    session = Multiplexer()
    recorded = called(session, "unloadModel")
    session.receive(frame("rpcResult", callId=recorded.id))
    assert recorded.ends == [Answer(None)]


def test_an_id_written_as_a_decimal_is_the_same_id() -> None:
    session = Multiplexer()
    recorded = called(session, "version")
    session.receive('{"type":"rpcResult","callId":0.0,"result":5}')
    assert recorded.ends == [Answer(5)]


@pytest.mark.parametrize("bad", [True, False, None, "0", [0], {"a": 0}, 0.5])
def test_what_is_no_id_ends_nothing(bad: Any) -> None:
    session = Multiplexer()
    calls = [called(session, "version"), called(session, "version")]
    for kind in ("rpcResult", "rpcError"):
        session.receive(frame(kind, callId=bad, result=1, error={}))
    assert [recorded.ends for recorded in calls] == [[], []]


def test_an_error_of_a_call_is_its_end() -> None:
    session = Multiplexer()
    recorded = called(session, "getModelInfo")
    error = {"title": "No model", "displayData": {"code": "generic.noModelMatchingQuery", "loadedModelsSample": ["a"]}}
    session.receive(frame("rpcError", callId=recorded.id, error=error))
    (end,) = recorded.ends
    assert isinstance(end, LMStudioModelNotFoundError)
    assert "Loaded models: a" in str(end)


@pytest.mark.parametrize("error", [None, 5, "words", [], {"title": 5}, {}])
def test_an_error_of_an_odd_form_is_an_error_all_the_same(error: Any) -> None:
    session = Multiplexer()
    call, channel = called(session, "version"), opened(session, "predict")
    session.receive(frame("rpcError", callId=call.id, error=error))
    session.receive(frame("channelError", channelId=channel.id, error=error))
    assert [type(end) for end in (*call.ends, *channel.ends)] == [LMStudioServerError, LMStudioServerError]


def test_a_close_ends_the_channel_and_later_packets_go_nowhere() -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    session.receive(frame("channelClose", channelId=recorded.id))
    session.receive(frame("channelSend", channelId=recorded.id, message=fragment("late")))
    session.receive(frame("channelClose", channelId=recorded.id))
    session.receive(frame("channelError", channelId=recorded.id, error={}))
    assert recorded.ends == [CLOSED]
    assert not recorded.packets
    assert session.open_calls == 0


def test_a_message_goes_out_on_an_open_channel_only() -> None:
    session = Multiplexer()
    channel, call = opened(session, "predict"), called(session, "version")
    sent = session.send(channel.pending, {"type": "cancel"})
    assert sent is not None
    assert json.loads(sent) == {"type": "channelSend", "channelId": 0, "message": {"type": "cancel"}}
    session.receive(frame("channelClose", channelId=channel.id))
    assert session.send(channel.pending, {"type": "cancel"}) is None
    assert session.send(call.pending, {"type": "cancel"}) is None


def test_who_gave_up_hears_nothing_more() -> None:
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


def test_a_lost_socket_tells_everybody_each_with_an_error_of_its_own() -> None:
    session = Multiplexer()
    calls = [called(session, "version"), *(opened(session, "predict") for _ in range(3))]
    session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    errors = [end for recorded in calls for end in recorded.ends]
    assert [type(error) for error in errors] == [LMStudioDisconnectedError] * 4
    assert len({id(error) for error in errors}) == 4


def test_losing_a_socket_twice_tells_nobody_twice() -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    for _ in range(2):
        session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    assert len(recorded.ends) == 1


def test_a_request_on_a_lost_socket_is_told_at_once() -> None:
    session = Multiplexer()
    session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    for recorded in (called(session, "version"), opened(session, "predict")):
        assert [type(end) for end in recorded.ends] == [LMStudioDisconnectedError]
    assert session.open_calls == 0


def test_one_who_starts_a_request_when_told_of_the_loss_is_told_too() -> None:
    session = Multiplexer()
    second = RecordedCall("version")
    first = RecordedCall("version")
    first.pending.finish = lambda _: session.call(second.pending)
    session.call(first.pending)
    session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    assert [type(end) for end in second.ends] == [LMStudioDisconnectedError]


def test_one_whom_another_gave_up_when_told_of_the_loss_hears_nothing() -> None:
    session = Multiplexer()
    first, second = RecordedCall("version"), RecordedCall("version")
    first.pending.finish = lambda _: session.forget(second.pending)
    session.call(first.pending)
    session.call(second.pending)
    session.connection_lost(lambda: LMStudioDisconnectedError("gone"))
    assert not second.ends


def test_a_packet_marks_its_conversation_as_answered() -> None:
    session = Multiplexer()
    one, two = opened(session, "predict"), opened(session, "predict")
    session.receive(frame("channelSend", channelId=one.id, message=fragment("x")))
    assert (one.pending.answered, two.pending.answered) == (True, False)
    assert one.pending.last == fragment("x")
    assert one.pending.heard > 0


@pytest.mark.parametrize("packet", [None, 5, "text", [], [{"type": "fragment"}], True])
def test_a_packet_that_is_no_object_is_passed_over(packet: Any) -> None:
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
def test_garbage_disturbs_nobody(data: Any) -> None:
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
        session.receive(data)  # an empty warning may mean anybody, and is told to all
        assert len(channel.ends) == 1


def test_strange_things_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    session = Multiplexer()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            session.receive("garbage")
            session.receive('{"type": "somethingNew"}')
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "somethingNew" in caplog.text


def test_a_server_that_makes_up_ever_new_things_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    session = Multiplexer()
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            session.receive(json.dumps({"type": f"new{number}"}))
    assert len(caplog.records) < 50


def test_bytes_are_as_good_as_text() -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    message = frame("channelSend", channelId=recorded.id, message=fragment("grüße 😀")).encode()
    session.receive(message)
    session.receive(bytearray(message))
    assert recorded.packets == [fragment("grüße 😀")] * 2


def test_half_a_surrogate_pair_in_a_frame_is_no_garbage() -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    session.receive(
        '{"type":"channelSend","channelId":0,"message":{"type":"fragment","fragment":{"content":"\\ud83d"}}}'
    )
    assert recorded.packets == [{"type": "fragment", "fragment": {"content": "\ud83d"}}]


def test_unknown_members_of_an_envelope_are_no_hindrance() -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    session.receive(frame("channelSend", channelId=recorded.id, message=fragment("x"), ackId=5, newer={"a": 1}))
    session.receive(frame("channelClose", channelId=recorded.id, newer=1))
    assert (recorded.packets, recorded.ends) == ([fragment("x")], [CLOSED])


# Authentication

TOKEN = "sk-lm-AbCd1234:abcdefghij0123456789"


def test_a_welcome_lets_us_in() -> None:
    read_authentication('{"success": true}', guest_authentication())
    read_authentication(b'{"success": true, "newer": 1}', guest_authentication())


@pytest.mark.parametrize("reply", ["", "{}", "[]", "5", '"success"', '{"type": "x"}', b"\xff"])
def test_what_is_no_reply_is_a_protocol_error(reply: Any) -> None:
    with pytest.raises(LMStudioProtocolError, match="does not speak"):
        read_authentication(reply, guest_authentication())


@pytest.mark.parametrize("success", [False, None, 1, "true"])
def test_everything_but_true_is_a_refusal(success: Any) -> None:
    with pytest.raises(LMStudioAuthenticationError, match="no reason given"):
        read_authentication(json.dumps({"success": success}), guest_authentication())


def test_a_refusal_tells_the_servers_words_and_who_was_refused() -> None:
    reply = json.dumps({"success": False, "error": "No guests today"})
    with pytest.raises(LMStudioAuthenticationError, match="refused the guest: No guests today"):
        read_authentication(reply, guest_authentication())
    with pytest.raises(LMStudioAuthenticationError, match="refused the API token"):
        read_authentication(reply, token_authentication(TOKEN))


def test_a_refusal_that_repeats_the_passkey_is_not_repeated() -> None:
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
