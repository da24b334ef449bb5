"""A warning bears no id: who is meant by it, and who is not."""

from __future__ import annotations

import logging

import pytest

from lmstudio_integrations.client.transport.multiplexer import CLOSED, Answer, Multiplexer
from lmstudio_integrations.errors import LMStudioRequestRejectedError
from tests.packet_builders import RecordedCall, called, fragment, frame, opened

# As lmstudio-js words them (ServerPort), older servers without `kind`.
RPC_UNKNOWN = "Received rpcCall for unknown endpoint, endpoint = {}"
RPC_UNHANDLED = "Received rpcCall for unhandled endpoint, endpoint = {}"
RPC_PARAMETER = "Received invalid parameter for rpcCall, endpointName = {}, parameter = {{}}. Zod error:\n\n  no"
CHANNEL_UNKNOWN = "Received channelCreate for unknown endpoint, endpoint = {}"
CHANNEL_UNHANDLED = "Received channelCreate for unhandled endpoint, endpoint = {}"
CHANNEL_PARAMETER = (
    "Received invalid creationParameter for channel, endpointName = {}, creationParameter = {{}}. Zod error:\n\n  no"
)
FOR_CALLS = [
    ("rpcEndpointUnknown", RPC_UNKNOWN),
    ("rpcEndpointUnhandled", RPC_UNHANDLED),
    ("rpcParameterTypeError", RPC_PARAMETER),
]
FOR_CHANNELS = [
    ("channelEndpointUnknown", CHANNEL_UNKNOWN),
    ("channelEndpointUnhandled", CHANNEL_UNHANDLED),
    ("channelCreationParameterTypeError", CHANNEL_PARAMETER),
]
HARMLESS = [
    ("channelUnknown", "Received channelSend for unknown channel, channelId = 1"),
    ("channelUnknown", "Received channelAck for unknown channel, channelId = 1"),
    (
        "channelMessageTypeError",
        "Received invalid message for channel, endpointName = predict, message = {}. Zod error:\n\n  no",
    ),
    ("signalEndpointUnknown", "Received signalSubscribe for unknown endpoint, endpoint = predict"),
    ("signalAlreadyOpen", "Received signalSubscribe for already open subscription, subscribeId = 0"),
    ("writableSignalEndpointUnhandled", "Received writableSignalSubscribe for unhandled endpoint, endpoint = predict"),
    ("writableSignalDataTypeError", "Received invalid data for writable signal, endpointName = predict, data = 1"),
]


def warn(session: Multiplexer, warning: str, kind: str | None = None) -> None:
    session.receive(frame("communicationWarning", warning=warning, **({} if kind is None else {"kind": kind})))


def rejected(recorded: RecordedCall) -> bool:
    return [type(end) for end in recorded.ends] == [LMStudioRequestRejectedError]


@pytest.mark.parametrize("with_kind", [True, False], ids=["kind", "prose"])
@pytest.mark.parametrize(("kind", "prose"), FOR_CALLS, ids=lambda value: value[:30])
def test_warning_about_an_rpc_fails_only_rpcs_of_its_endpoint(kind: str, prose: str, with_kind: bool) -> None:
    session = Multiplexer()
    meant, also = called(session, "countTokens"), called(session, "countTokens")
    other, channel = called(session, "tokenize"), opened(session, "predict")
    warn(session, prose.format("countTokens"), kind if with_kind else None)
    assert [rejected(recorded) for recorded in (meant, also)] == [True, True]
    assert (other.ends, channel.ends) == ([], [])


@pytest.mark.parametrize("with_kind", [True, False], ids=["kind", "prose"])
@pytest.mark.parametrize(("kind", "prose"), FOR_CHANNELS, ids=lambda value: value[:30])
def test_warning_about_a_channel_fails_only_channels_of_its_endpoint(kind: str, prose: str, with_kind: bool) -> None:
    session = Multiplexer()
    meant, other, call = opened(session, "predict"), opened(session, "getOrLoad"), called(session, "tokenize")
    warn(session, prose.format("predict"), kind if with_kind else None)
    assert rejected(meant)
    assert (other.ends, call.ends) == ([], [])


@pytest.mark.parametrize("with_kind", [True, False], ids=["kind", "prose"])
@pytest.mark.parametrize(("kind", "prose"), HARMLESS, ids=lambda value: value[:40])
def test_warning_that_answers_no_request_fails_none(kind: str, prose: str, with_kind: bool) -> None:
    session = Multiplexer()
    channel, call = opened(session, "predict"), called(session, "tokenize")
    warn(session, prose, kind if with_kind else None)
    assert (channel.ends, call.ends) == ([], [])


def test_warning_does_not_fail_answered_calls() -> None:
    session = Multiplexer()
    answered, waiting = opened(session, "predict"), opened(session, "predict")
    session.receive(frame("channelSend", channelId=answered.id, message=fragment("x")))
    warn(session, CHANNEL_PARAMETER.format("predict"), "channelCreationParameterTypeError")
    assert not answered.ends
    assert rejected(waiting)


@pytest.mark.parametrize("longer", ["tokenizeMany", "batchtokenize", "retokenize2"])
def test_endpoint_name_within_a_longer_one_is_another_endpoint(longer: str) -> None:
    session = Multiplexer()
    short, long = called(session, "tokenize"), called(session, longer)
    warn(session, RPC_UNKNOWN.format(longer))
    assert not short.ends
    assert rejected(long)


def test_text_of_the_parameter_does_not_select_the_request() -> None:
    session = Multiplexer()
    meant, other = opened(session, "predict"), called(session, "tokenize")
    text = "please tokenize, Received channelSend for unknown channel, channelMessageTypeError signal"
    warn(
        session,
        "Received invalid creationParameter for channel, endpointName = predict, "
        f'creationParameter = {{"text": "{text}"}}. Zod error:\n\n  no',
    )
    assert rejected(meant)
    assert not other.ends


def test_warning_about_a_forgotten_request_fails_no_other() -> None:
    session = Multiplexer()
    late, other = called(session, "tokenize"), called(session, "countTokens")
    session.forget(late.pending)
    warn(session, RPC_PARAMETER.format("tokenize"), "rpcParameterTypeError")
    assert not other.ends


def test_warning_without_an_endpoint_fails_all_possible_requests() -> None:
    session = Multiplexer()
    calls, channel = [called(session, "tokenize"), called(session, "version")], opened(session, "predict")
    warn(session, "That was no good", "rpcParameterTypeError")
    assert [rejected(recorded) for recorded in calls] == [True, True]
    assert not channel.ends


def test_warning_without_information_fails_all_waiting_requests() -> None:
    session = Multiplexer()
    calls = [called(session, "tokenize"), opened(session, "predict")]
    warn(session, "?", "unknown")
    assert [rejected(recorded) for recorded in calls] == [True, True]


def test_endpoint_named_in_an_unusual_place_is_found() -> None:
    session = Multiplexer()
    meant, other = called(session, "tokenize"), called(session, "version")
    warn(session, "The tokenize endpoint has been retired")
    assert rejected(meant)
    assert not other.ends


# Every kind of LM Studio's, and one of a newer server.
KINDS = (
    "unknown",
    "channelUnknown",
    "channelMessageTypeError",
    "channelCreationParameterTypeError",
    "channelEndpointUnknown",
    "channelEndpointUnhandled",
    "channelAlreadyOpen",
    "rpcUnknown",
    "rpcParameterTypeError",
    "rpcResultTypeError",
    "rpcEndpointUnknown",
    "rpcEndpointUnhandled",
    "signalUnknown",
    "signalUpdatePatchApplyError",
    "signalPatchTypeError",
    "signalEndpointUnknown",
    "signalEndpointUnhandled",
    "signalAlreadyOpen",
    "signalCreationParameterTypeError",
    "writableSignalUnknown",
    "writableSignalPatchApplyError",
    "writableSignalPatchTypeError",
    "writableSignalDataTypeError",
    "writableSignalEndpointUnknown",
    "writableSignalEndpointUnhandled",
    "writableSignalAlreadyOpen",
    "writableSignalCreationParameterTypeError",
    "somethingNew",
)


@pytest.mark.parametrize("kind", KINDS)
def test_multiplexer_works_after_every_kind_of_warning(kind: str) -> None:
    session = Multiplexer()
    warn(session, "words", kind)
    assert session.has_warned is (kind != "channelUnknown")  # a late cancel keeps its socket
    call, channel = called(session, "version"), opened(session, "predict")
    session.receive(frame("rpcResult", callId=call.id, result=1))
    session.receive(frame("channelClose", channelId=channel.id))
    assert (call.ends, channel.ends) == ([Answer(1)], [CLOSED])


def test_five_warnings_fail_five_requests_once_each() -> None:
    session = Multiplexer()
    names = ["tokenize", "countTokens", "getModelInfo", "getLoadConfig", "unloadModel"]
    calls = [called(session, name) for name in names]
    for name in names:
        warn(session, RPC_UNKNOWN.format(name))
    assert all(rejected(recorded) for recorded in calls)


def test_multiplexer_reports_that_it_was_warned() -> None:
    session = Multiplexer()
    assert not session.has_warned
    warn(session, RPC_PARAMETER.format("tokenize"))
    assert session.has_warned


def test_late_cancels_raise_nothing_and_replace_the_socket_before_its_last_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = Multiplexer()
    for _ in range(3):
        warn(session, "Received channelSend for unknown channel, channelId = 7", "channelUnknown")
    assert not session.has_warned
    warn(session, "Received channelSend for unknown channel, channelId = 7", "channelUnknown")
    assert session.has_warned  # the server sends five at most
    assert not caplog.records


def test_rejection_error_has_the_warnings_text() -> None:
    session = Multiplexer()
    recorded = called(session, "tokenize")
    warn(session, RPC_PARAMETER.format("tokenize"))
    assert "Zod error" in str(recorded.ends[0])
    assert "'tokenize'" in str(recorded.ends[0])


def test_each_rejected_request_has_an_error_of_its_own() -> None:
    session = Multiplexer()
    one, two = called(session, "tokenize"), called(session, "tokenize")
    warn(session, RPC_UNKNOWN.format("tokenize"))
    assert one.ends[0] is not two.ends[0]


def test_conversation_in_a_warning_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    session = Multiplexer()
    recorded = opened(session, "predict")
    with caplog.at_level(logging.WARNING):
        warn(
            session,
            "Received invalid creationParameter for channel, endpointName = predict, creationParameter = "
            + "secret " * 5000
            + ". Zod error:\n\n  history.messages[0] is wrong",
        )
    assert len(str(recorded.ends[0])) < 1200
    assert "history.messages[0] is wrong" in str(recorded.ends[0])
    assert len(caplog.text) < 1500


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in HARMLESS} | {"rpcUnknown", "rpcResultTypeError"}))
def test_warning_kind_that_answers_no_request_needs_no_text(kind: str) -> None:
    session = Multiplexer()
    calls = [called(session, "tokenize"), opened(session, "predict")]
    warn(session, "words", kind)
    assert [recorded.ends for recorded in calls] == [[], []]


def test_endpoint_far_down_in_the_text_is_not_used() -> None:
    session = Multiplexer()
    calls = [called(session, "tokenize"), called(session, "countTokens")]
    warn(session, "No good: " + "x" * 400 + ", endpointName = tokenize,", "rpcParameterTypeError")
    assert [rejected(recorded) for recorded in calls] == [True, True]
