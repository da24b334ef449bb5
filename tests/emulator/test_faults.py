"""Every fault by its name: it does what it says, where it says, as often as it says, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.emulator.faults import NAMES
from lmstudio_integrations.errors import LMStudioValueError
from tests.emulator.raw_client import GUEST, RawClient, fragments, packets, prediction, said, stats
from tests.time_limits import SURE_TO_EXPIRE

pytestmark = pytest.mark.timeout(30)

QUERY = {"type": "query", "query": {}}
TOKENIZE = {"specifier": QUERY, "inputString": "a b"}


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator(replies=lambda request: Reply("one two three")) as running:
        yield running


@pytest.fixture
def raw_client(server: Emulator) -> Iterator[RawClient]:
    with RawClient(server) as opened:
        yield opened


def whole(messages: list[Any]) -> bool:
    """An undisturbed answer."""
    return said(messages) == "one two three" and stats(messages)["stopReason"] == "eosFound"


def until_silence(raw_client: RawClient) -> list[Any]:
    """What comes before an answer to a keepAlive that is sent now."""
    raw_client.send({"type": "keepAlive"})
    seen: list[Any] = []
    while not seen or seen[-1] != {"type": "keepAliveAck"}:
        seen.append(raw_client.receive())
    return seen[:-1]


def test_unknown_fault_name_raises_with_the_known_names(server: Emulator) -> None:
    with pytest.raises(LMStudioValueError, match="late_close"):
        server.faults.add("gremlins")


_CONNECTION = ("no_upgrade", "slow_auth", "never_auth", "refuse_auth")
_CHANNEL = ("no_success", "late_close")


@pytest.mark.parametrize("name", NAMES)
def test_fault_of_another_endpoint_or_namespace_does_nothing(server: Emulator, name: str) -> None:
    endpoint = None if name in _CONNECTION else "getOrLoad" if name in _CHANNEL else "embedString"
    server.faults.add(name, endpoint=endpoint, namespace="embedding", times=None)
    with RawClient(server) as raw_client:
        assert whole(raw_client.predict())


@pytest.mark.parametrize("name", ["drop", "silent", "error_mid_stream"])
def test_fault_happens_once_unless_times_is_none(server: Emulator, name: str) -> None:
    fault = server.faults.add(name)
    with RawClient(server) as raw_client:
        raw_client.create("predict", prediction())
        fault.wait_hit()
    with RawClient(server) as raw_client:
        assert whole(raw_client.predict())
    assert fault.hits == 1


def test_cleared_faults_do_not_happen(server: Emulator, raw_client: RawClient) -> None:
    server.faults.add("silent", times=None)
    server.faults.clear()
    assert whole(raw_client.predict())


# --- the connection's beginning


def test_no_upgrade_leaves_the_handshake_open_until_released(server: Emulator) -> None:
    fault = server.faults.add("no_upgrade")
    opened: list[bool] = []

    def come() -> None:
        with RawClient(server):
            opened.append(True)

    visitor = threading.Thread(target=come)
    visitor.start()
    fault.wait_hit()
    assert (opened, server.connections) == ([], 0)
    fault.release()
    visitor.join(5)
    assert opened == [True]


def test_emulator_with_unanswered_upgrades_stops() -> None:
    with Emulator() as server, socket.create_connection(("127.0.0.1", server.port)) as plain:
        fault = server.faults.add("no_upgrade", namespace="llm")
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
        plain.sendall(
            f"GET /llm HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n\r\n".encode()
        )
        fault.wait_hit()
        server.restart()
        assert server.connections == 0


def test_slow_auth_answers_once_released(server: Emulator) -> None:
    fault = server.faults.add("slow_auth")
    with RawClient(server, authenticate=False) as raw_client:
        raw_client.send(GUEST)
        fault.wait_hit()
        assert server.sent == []
        fault.release()
        assert raw_client.receive() == {"success": True}


def test_never_auth_never_answers_and_ends_with_its_socket(server: Emulator) -> None:
    fault = server.faults.add("never_auth")
    with RawClient(server, authenticate=False) as raw_client:
        raw_client.send(GUEST)
        fault.wait_hit()
        with RawClient(server) as other:
            assert whole(other.predict())
        with pytest.raises(TimeoutError):
            raw_client.receive(timeout=SURE_TO_EXPIRE)
    server.wait_until(lambda: server.connections == 0)


def test_refuse_auth_sends_a_refusal_and_closes(server: Emulator) -> None:
    server.faults.add("refuse_auth", error="No.")
    with RawClient(server, authenticate=False) as raw_client:
        raw_client.send(GUEST)
        assert raw_client.receive() == {"success": False, "error": "No."}
        with pytest.raises(ConnectionClosed):
            raw_client.receive()


# --- instead of an answer


@pytest.mark.parametrize("endpoint", ["predict", "tokenize"])
def test_silent_sends_nothing(server: Emulator, raw_client: RawClient, endpoint: str) -> None:
    fault = server.faults.add("silent", endpoint=endpoint)
    if endpoint == "predict":
        raw_client.create("predict", prediction())
    else:
        raw_client.send({"type": "rpcCall", "endpoint": "tokenize", "callId": 9, "parameter": TOKENIZE})
    fault.wait_hit()
    assert until_silence(raw_client) == []


def test_warning_instead_names_the_endpoint(server: Emulator, raw_client: RawClient) -> None:
    server.faults.add("warning_instead")
    server.faults.add("warning_instead", endpoint="tokenize", kind="rpcEndpointUnknown", warning="Unknown: tokenize")
    raw_client.create("predict", prediction())
    first = raw_client.receive()
    assert first["kind"] == "channelCreationParameterTypeError"
    assert "endpointName = predict" in first["warning"]
    assert raw_client.call("tokenize", TOKENIZE)["warning"] == "Unknown: tokenize"
    assert until_silence(raw_client) == []


def test_void_has_no_result_or_no_packet(server: Emulator, raw_client: RawClient) -> None:
    server.faults.add("void", endpoint="*", times=2)
    assert raw_client.call("tokenize", TOKENIZE) == {"type": "rpcResult", "callId": 1}
    assert [message["type"] for message in raw_client.predict()] == ["channelClose"]


# --- in the course of a channel


@pytest.mark.parametrize("after", [0, 1, 2, 99])
def test_drop_cuts_the_socket_after_the_given_fragments(server: Emulator, raw_client: RawClient, after: int) -> None:
    server.faults.add("drop", after=after)
    raw_client.create("predict", prediction())
    seen = raw_client.until_cut()
    assert len(fragments(seen)) == min(after, 3)
    assert not any(packet["type"] == "success" for packet in packets(seen))
    server.wait_until(lambda: server.connections == 0)


def test_drop_counts_load_progress_too(server: Emulator, raw_client: RawClient) -> None:
    server.faults.add("drop", endpoint="getOrLoad", after=2)
    raw_client.create("getOrLoad", {"identifier": "emulator/chat-2", "loadConfigStack": {"layers": []}})
    seen = raw_client.until_cut()
    assert [packet["type"] for packet in packets(seen)] == ["startLoading", "loadProgress", "loadProgress"]


def test_stall_holds_its_channel_only(server: Emulator, raw_client: RawClient) -> None:
    fault = server.faults.add("stall", after=1)
    number = raw_client.create("predict", prediction())
    fault.wait_hit()
    seen = until_silence(raw_client)
    assert len(fragments(seen)) == 1
    assert whole(raw_client.predict())
    fault.release()
    assert said(seen + raw_client.until_end(number)) == "one two three"


def test_stall_can_hold_the_whole_socket(server: Emulator, raw_client: RawClient) -> None:
    fault = server.faults.add("stall", after=1, connection=True)
    number = raw_client.create("predict", prediction())
    fault.wait_hit()
    raw_client.send({"type": "keepAlive"})
    with RawClient(server) as other:
        assert whole(other.predict())
    assert not any(frame.message == {"type": "keepAliveAck"} for frame in server.sent)
    fault.release()
    assert said(raw_client.until_end(number)) == "one two three"


def test_cancel_does_not_end_a_stall(server: Emulator, raw_client: RawClient) -> None:
    fault = server.faults.add("stall", after=1)
    number = raw_client.create("predict", prediction())
    fault.wait_hit()
    raw_client.send({"type": "channelSend", "channelId": number, "message": {"type": "cancel"}})
    assert not any(packet["type"] == "success" for packet in packets(until_silence(raw_client)))
    fault.release()
    assert stats(raw_client.until_end(number))["stopReason"] == "userStopped"


def test_garbage_is_sent_between_fragments(server: Emulator, raw_client: RawClient) -> None:
    server.faults.add("garbage", after=1)
    seen = raw_client.predict()
    garbage = [message for message in seen if isinstance(message, str)]
    assert len(garbage) == 1
    assert whole([message for message in seen if isinstance(message, dict)])


def test_unknown_packets_and_messages_are_sent_between_fragments(server: Emulator, raw_client: RawClient) -> None:
    server.faults.add("unknown_packet", after=1)
    server.faults.add("unknown_packet", after=1, top_level=True)
    first, second = raw_client.predict(), raw_client.predict()
    assert [packet["type"] for packet in packets(first)].count("emulatedUnknownPacket") == 1
    assert [message["type"] for message in second].count("emulatedUnknownMessage") == 1
    assert whole(first)
    assert whole(second)


def test_big_frame_exceeds_a_mebibyte(server: Emulator, raw_client: RawClient) -> None:
    server.faults.add("big_frame", after=1)
    assert max(len(fragment["content"]) for fragment in fragments(raw_client.predict())) > 2**20


@pytest.mark.parametrize(
    ("name", "options", "inserted"),
    [
        ("big_frame", {"size": 7}, {"type": "emulatedUnknownMessage", "padding": "x" * 7}),
        ("unknown_packet", {"packet": {"type": "new", "a": 1}}, {"type": "new", "a": 1}),
    ],
)
def test_inserted_message_has_the_size_and_the_packet_of_its_fault(
    server: Emulator, raw_client: RawClient, name: str, options: dict[str, Any], inserted: dict[str, Any]
) -> None:
    server.faults.add(name, endpoint="tokenize", **options)
    assert raw_client.call("tokenize", TOKENIZE) == inserted
    assert "result" in raw_client.receive()
    server.faults.add(name, top_level=True, **options)
    seen = raw_client.predict()
    assert inserted in seen
    assert whole([message for message in seen if message != inserted])


def test_error_is_sent_between_fragments(server: Emulator, raw_client: RawClient) -> None:
    server.faults.add("error_mid_stream", after=2, error={"title": "Broken", "cause": "test"})
    broken = raw_client.predict()
    server.faults.add("unloaded", after=1)
    unloaded = raw_client.predict()
    assert (said(broken), broken[-1]["error"]["title"]) == ("one two", "Broken")
    assert unloaded[-1]["error"]["displayData"]["code"] == "generic.specificModelUnloaded"
    server.faults.add("unloaded", endpoint="tokenize")
    assert raw_client.call("tokenize", TOKENIZE)["error"]["displayData"]["code"] == "generic.specificModelUnloaded"


@pytest.mark.parametrize("endpoint", ["predict", "getOrLoad"])
def test_no_success_closes_without_the_final_packet(server: Emulator, raw_client: RawClient, endpoint: str) -> None:
    server.faults.add("no_success", endpoint=endpoint)
    load = {"identifier": "emulator/chat", "loadConfigStack": {"layers": []}}
    seen = raw_client.until_end(raw_client.create(endpoint, prediction() if endpoint == "predict" else load))
    assert seen[-1]["type"] == "channelClose"
    assert not {"success", "alreadyLoaded"} & {packet["type"] for packet in packets(seen)}


def test_late_close_is_sent_once_released(server: Emulator, raw_client: RawClient) -> None:
    fault = server.faults.add("late_close")
    number = raw_client.create("predict", prediction())
    fault.wait_hit()
    seen = until_silence(raw_client)
    assert whole(seen)
    assert not any(message["type"] == "channelClose" for message in seen)
    fault.release()
    assert raw_client.until_end(number) == [{"type": "channelClose", "channelId": number}]


def test_unknown_members_adds_and_removes_fields(server: Emulator, raw_client: RawClient) -> None:
    server.faults.add("unknown_enum", reasoning=True)
    server.faults.add("extra_fields")
    server.faults.add("missing_new_fields")
    seen = raw_client.predict()
    made = stats(seen)
    assert made["stopReason"] == "emulatedUnknownMember"
    assert made["emulatedExtraField"] == {"nested": [1, None]}
    assert "totalTimeSec" not in made
    assert all("details" not in packet for packet in packets(seen))
    assert fragments(seen) == []
    fragment = fragments(seen, "emulatedUnknownMember")[0]
    assert "isStructural" not in fragment
    assert fragment["content"] == "one"


def test_older_server_answers_tokenize(server: Emulator, raw_client: RawClient) -> None:
    server.faults.add("missing_new_fields", endpoint="*", times=None)
    assert len(raw_client.call("tokenize", TOKENIZE)["result"]["tokens"]) == 2
    info = raw_client.call("listLoaded")["result"][0]
    assert {"publisher", "ttlMs", "quantization"} & set(info) == set()
    assert info["identifier"] == "emulator/chat"


def test_restart_in_a_stream_leaves_a_new_server_on_the_same_port(server: Emulator, raw_client: RawClient) -> None:
    raw_client.until_end(
        raw_client.create("getOrLoad", {"identifier": "emulator/chat-2", "loadConfigStack": {"layers": []}})
    )
    before = raw_client.call("listLoaded")["result"]
    fault = server.faults.add("restart", after=1)
    raw_client.create("predict", prediction())
    fault.wait_hit()
    raw_client.until_cut()
    server.wait_until(lambda: server.loaded == ["emulator/chat", "emulator/embedding"])
    server.drop_connections()  # on the emulator's own loop: what was begun there before is done
    with RawClient(server) as fresh:
        after = fresh.call("listLoaded")["result"]
    assert len(before) == 2
    assert len(after) == 1


def test_restart_and_drop_connections_work_as_methods(server: Emulator) -> None:
    port = server.port
    with RawClient(server) as raw_client:
        server.restart()
        with pytest.raises(ConnectionClosed):
            raw_client.receive()
    assert server.port == port
    with RawClient(server) as raw_client:
        assert whole(raw_client.predict())
        server.drop_connections()
        with pytest.raises(ConnectionClosed):
            raw_client.receive()
