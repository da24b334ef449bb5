"""What LM Studio answers with silence or a warning, the emulator answers so (PROTOCOL, the hang table), and the rest."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from lmstudio_integrations.emulator import Emulator
from tests.emulator.raw_client import GUEST, RawClient, prediction, said, stats, user
from tests.time_limits import SURE_TO_EXPIRE

pytestmark = [pytest.mark.timeout(30), pytest.mark.invalid_frames]

CHAT = {"type": "query", "query": {"identifier": "emulator/chat"}}
TOKEN = "sk-lm-AbCd1234:abcdefghij0123456789"


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def raw_client(server: Emulator) -> Iterator[RawClient]:
    with RawClient(server) as opened:
        yield opened


def still_silent(raw_client: RawClient) -> None:
    """Nothing was sent: the answer to a later call is the next that comes."""
    raw_client.send({"type": "keepAlive"})
    assert raw_client.receive() == {"type": "keepAliveAck"}


def test_greeting_needs_no_authentication(server: Emulator) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/lmstudio-greeting", timeout=5) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert json.loads(answer.read()) == {"lmstudio": True}


@pytest.mark.parametrize("path", ["/", "/llm/", "/LLM", "/nothing"])
def test_upgrade_on_an_unknown_path_is_never_answered(server: Emulator, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as plain:
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n\r\n"
        plain.sendall(head.encode())
        plain.settimeout(SURE_TO_EXPIRE)
        with pytest.raises(TimeoutError):
            plain.recv(1)


def test_query_in_the_path_is_ignored(server: Emulator) -> None:
    with RawClient(server, "llm?x=1") as raw_client:
        still_silent(raw_client)


def test_prefix_precedes_all_paths() -> None:
    with Emulator(prefix="/behind/proxy") as server:
        with RawClient(server) as raw_client:
            still_silent(raw_client)
        with urllib.request.urlopen(server.url.replace("ws", "http", 1) + "/lmstudio-greeting", timeout=5) as answer:
            assert json.loads(answer.read()) == {"lmstudio": True}
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/lmstudio-greeting", timeout=5)


@pytest.mark.parametrize("bad", ["nonsense", "[]", '{"authVersion":2}', '{"authVersion":1,"clientIdentifier":1}'])
def test_malformed_authentication_is_ignored_and_a_valid_one_may_follow(server: Emulator, bad: str) -> None:
    with RawClient(server, authenticate=False) as raw_client:
        raw_client.send(bad)
        raw_client.send(GUEST)
        assert raw_client.receive() == {"success": True}


def test_rpc_before_the_authentication_is_discarded(server: Emulator) -> None:
    with RawClient(server, authenticate=False) as raw_client:
        raw_client.send({"type": "rpcCall", "endpoint": "listLoaded", "callId": 1})
        raw_client.send(GUEST)
        assert raw_client.receive() == {"success": True}
        still_silent(raw_client)


@pytest.mark.parametrize(
    ("identifier", "passkey", "error"),
    [
        ("AbCd1234", "abcdefghij0123456789", None),
        ("AbCd1234", "wrong", "Invalid LM Studio API token."),
        ("guest:1", "x", "An LM Studio API token is required to access this server."),
    ],
)
def test_emulator_with_a_token_refuses_other_clients(identifier: str, passkey: str, error: str | None) -> None:
    with Emulator(api_token=TOKEN) as server, RawClient(server, authenticate=False) as raw_client:
        raw_client.send({"authVersion": 1, "clientIdentifier": identifier, "clientPasskey": passkey})
        answer = raw_client.receive()
        assert answer == ({"success": True} if error is None else {"success": False, "error": error})
        if error is not None:
            with pytest.raises(ConnectionClosed) as closed:
                raw_client.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1005


def test_first_passkey_of_an_identifier_is_required_later(server: Emulator) -> None:
    other = {**GUEST, "clientPasskey": "another"}
    with RawClient(server), RawClient(server, "system", authenticate=False) as second:
        second.send(other)
        assert "Invalid client passkey" in second.receive()["error"]
    server.wait_until(lambda: server.connections == 0)
    with RawClient(server, authenticate=False) as later:
        later.send(other)
        assert later.receive() == {"success": True}


def test_client_that_does_not_authenticate_is_refused() -> None:
    with Emulator(auth_timeout=SURE_TO_EXPIRE) as server, RawClient(server, authenticate=False) as raw_client:
        assert raw_client.receive() == {"success": False, "error": "Authentication timed out"}


@pytest.mark.parametrize(
    "frame",
    [
        "not JSON",
        '{"type":"rpcCall","endpoint":"listLoaded","callId":NaN}',
        {"type": "unheard"},
        {"type": "rpcCall", "endpoint": "listLoaded"},
        {"type": "rpcCall", "endpoint": "listLoaded", "callId": "1"},
        {"type": "rpcCall", "endpoint": "listLoaded", "callId": 1.5},
        {"type": "channelClose", "channelId": 1},
        {"type": "communicationWarning", "warning": "x"},
        [],
    ],
)
def test_invalid_envelope_is_discarded(raw_client: RawClient, frame: Any) -> None:
    raw_client.send(frame)
    still_silent(raw_client)


def test_binary_frames_and_ids_like_1_0_are_accepted(raw_client: RawClient) -> None:
    raw_client.send(b'{"type":"rpcCall","endpoint":"listLoaded","callId":-1.0}')
    assert raw_client.receive()["callId"] == -1


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        ({"type": "rpcCall", "endpoint": "nope", "callId": 1}, "rpcEndpointUnknown", "endpoint = nope"),
        ({"type": "channelCreate", "endpoint": "nope", "channelId": 1}, "channelEndpointUnknown", "endpoint = nope"),
        ({"type": "signalSubscribe", "endpoint": "nope", "subscribeId": 1}, "signalEndpointUnknown", "nope"),
        ({"type": "rpcCall", "endpoint": "listLoaded", "callId": 1, "parameter": None}, "rpcParameterTypeError", "listLoaded"),
        ({"type": "rpcCall", "endpoint": "listLoaded", "callId": 1, "parameter": {}}, "rpcParameterTypeError", "listLoaded"),
        ({"type": "rpcCall", "endpoint": "tokenize", "callId": 1}, "rpcParameterTypeError", "tokenize"),
        ({"type": "channelSend", "channelId": 9, "message": {"type": "cancel"}}, "channelUnknown", "channelId = 9"),
        ({"type": "channelAck", "channelId": 9, "ackId": 1}, "channelUnknown", "channelId = 9"),
    ],
)  # fmt: skip
def test_unknown_endpoint_or_ill_typed_parameter_gets_a_warning_without_an_id(
    raw_client: RawClient, message: dict[str, Any], kind: str, words: str
) -> None:
    raw_client.send(message)
    answer = raw_client.receive()
    assert answer["type"] == "communicationWarning"
    assert answer["kind"] == kind
    assert words in answer["warning"]
    assert "callId" not in answer
    still_silent(raw_client)


def test_only_five_warnings_are_sent_per_socket(raw_client: RawClient) -> None:
    for number in range(7):
        raw_client.send({"type": "rpcCall", "endpoint": "nope", "callId": number})
    assert [raw_client.receive()["type"] for _ in range(5)] == ["communicationWarning"] * 5
    still_silent(raw_client)


BAD_PREDICTIONS: list[dict[str, Any]] = [
    {"modelSpecifier": None},
    {"modelSpecifier": {"type": "query", "query": {"identifier": "__proto__"}}},
    {"modelSpecifier": {"type": "query", "query": {"identifier": "a\nb"}}},
    {"history": {"messages": [{"role": "developer", "content": []}]}},
    {"history": {"messages": [{"role": "user", "content": "text"}]}},
    {"history": {"messages": [{"role": "tool", "content": [{"type": "text", "text": "x"}]}]}},
    {"history": {"messages": [{"role": "user", "content": [{"type": "toolCallRequest", "toolCallRequest": {"type": "function", "name": "f"}}]}]}},
    {"history": {"messages": [{"role": "tool", "content": [{"type": "toolCallResult", "content": {"a": 1}}]}]}},
    {"predictionConfigStack": {"layers": [{"layerName": "mine", "config": {"fields": []}}]}},
    {"predictionConfigStack": None},
    {"fuzzyPresetIdentifier": None},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD_PREDICTIONS)
def test_ill_typed_prediction_gets_a_warning_only(raw_client: RawClient, change: dict[str, Any]) -> None:
    raw_client.create("predict", {**prediction(), **change})
    answer = raw_client.receive()
    assert (answer["type"], answer["kind"]) == ("communicationWarning", "channelCreationParameterTypeError")
    assert "endpointName = predict" in answer["warning"]
    still_silent(raw_client)


@pytest.mark.parametrize("ttl", [0, None, 1.5, -1, "60", pytest.param(10**400, id="1e400")])
def test_invalid_ttl_is_refused(raw_client: RawClient, ttl: Any) -> None:
    parameter = {"identifier": "emulator/chat-2", "loadTtlMs": ttl, "loadConfigStack": {"layers": []}}
    raw_client.create("getOrLoad", parameter)
    assert raw_client.receive()["kind"] == "channelCreationParameterTypeError"


def test_unknown_extra_keys_are_stripped_silently(raw_client: RawClient) -> None:
    seen = raw_client.until_end(raw_client.create("predict", {**prediction(), "temperatur": 1}))
    assert seen[-1]["type"] == "channelClose"


def test_config_field_of_the_wrong_type_is_a_channel_error(raw_client: RawClient) -> None:
    seen = raw_client.predict(maxPredictedTokens={"checked": True, "value": False})
    assert seen[-1]["error"]["title"].startswith("Field with key llm.prediction.maxPredictedTokens does not satisfy")


def test_unknown_config_field_is_ignored(raw_client: RawClient) -> None:
    assert raw_client.predict(nobody__knows=[1])[-1]["type"] == "channelClose"


def test_invalid_packet_leaves_its_channel_open(server: Emulator, raw_client: RawClient) -> None:
    from lmstudio_integrations.emulator import Reply, ThreadsafeEvent

    gate = ThreadsafeEvent()
    server.script(Reply("a b", hold=gate, hold_after=1))
    number = raw_client.create("predict", prediction())
    raw_client.send({"type": "channelSend", "channelId": number, "message": {"type": "stop"}})
    seen: list[Any] = []
    while not seen or seen[-1].get("kind") != "channelMessageTypeError":
        seen.append(raw_client.receive())
    gate.set()
    assert said(seen + raw_client.until_end(number)) == "a b"


def test_open_channel_id_is_refused_and_free_after_the_close(server: Emulator, raw_client: RawClient) -> None:
    from lmstudio_integrations.emulator import Reply, ThreadsafeEvent

    gate = ThreadsafeEvent()
    server.script(Reply("first", hold=gate), Reply("second"))
    message = {"type": "channelCreate", "endpoint": "predict", "channelId": 7, "creationParameter": prediction()}
    raw_client.send(message)
    raw_client.send(message)
    seen: list[Any] = []
    while not seen or seen[-1].get("kind") != "channelAlreadyOpen":
        seen.append(raw_client.receive())
    gate.set()
    assert said(seen + raw_client.until_end(7)) == "first"
    raw_client.send(message)
    assert said(raw_client.until_end(7)) == "second"


def test_cancel_right_after_the_creation_is_received(server: Emulator, raw_client: RawClient) -> None:
    from lmstudio_integrations.emulator import Reply, ThreadsafeEvent

    server.script(Reply("never", hold=ThreadsafeEvent()))
    number = raw_client.create("predict", prediction())
    raw_client.send({"type": "channelSend", "channelId": number, "message": {"type": "cancel"}})
    assert stats(raw_client.until_end(number))["stopReason"] == "userStopped"


def test_void_results_have_no_result_key(server: Emulator, raw_client: RawClient) -> None:
    missing = {"type": "query", "query": {"identifier": "nope"}}
    assert raw_client.call("getModelInfo", {"specifier": missing, "throwIfNotFound": False}) == {
        "type": "rpcResult",
        "callId": 1,
    }
    error = raw_client.call("getModelInfo", {"specifier": missing, "throwIfNotFound": True})["error"]
    assert error["displayData"]["code"] == "generic.noModelMatchingQuery"
    assert raw_client.call("unloadModel", {"identifier": "emulator/chat"}) == {"type": "rpcResult", "callId": 3}


def test_frames_above_100_mib_close_the_socket(server: Emulator) -> None:
    with connect(f"{server.url}/llm", max_size=None) as plain:
        plain.send(json.dumps(GUEST))
        plain.recv(timeout=5)
        with suppress(ConnectionClosed):  # it may be closed while the frame is still on its way
            plain.send("x" * (100 * 2**20 + 1))
        with pytest.raises(ConnectionClosed) as closed:
            plain.recv(timeout=20)
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


def test_system_namespace_reports_the_emulator(server: Emulator) -> None:
    with RawClient(server, "system") as raw_client:
        assert raw_client.call("version")["result"] == {"version": "emulator", "build": 0}
        assert raw_client.call("info")["result"]["version"] == "emulator"
        assert {model["publisher"] for model in raw_client.call("listDownloadedModels")["result"]} == {"emulator"}


def test_uploaded_file_belongs_to_its_client(server: Emulator) -> None:
    with RawClient(server, "files") as files:
        made = files.call("uploadFileBase64", {"name": "a.png", "contentBase64": "iVBORw0KGgo="})["result"]
        assert (made["fileType"], made["sizeBytes"]) == ("image", 8)
        refused = files.call("uploadFileBase64", {"name": "a.png", "contentBase64": "***"})
        assert "base64" in refused["error"]["title"]
    part = {"type": "file", "name": "a.png", "identifier": made["identifier"], "sizeBytes": 8, "fileType": "image"}
    message = {"role": "user", "content": [part]}
    with RawClient(server) as owner:
        assert owner.until_end(owner.create("predict", prediction([message])))[-1]["type"] == "channelClose"
        with_blind = owner.until_end(
            owner.create("getOrLoad", {"identifier": "emulator/chat-2", "loadConfigStack": {"layers": []}})
        )
        assert with_blind[-1]["type"] == "channelClose"
        blind = owner.until_end(owner.create("predict", prediction([message], "emulator/chat-2")))
        assert "images" in blind[-1]["error"]["title"]
    server.wait_until(lambda: server.connections == 0)
    with RawClient(server, authenticate=False) as stranger:
        stranger.send({**GUEST, "clientIdentifier": "guest:stranger"})
        stranger.receive()
        seen = stranger.until_end(stranger.create("predict", prediction([message])))
        assert seen[-1]["error"]["title"].startswith("File not found")


def test_prompt_template_has_system_tools_calls_and_results(raw_client: RawClient) -> None:
    history = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        user("1+2?"),
        {"role": "assistant", "content": [{"type": "text", "text": ""}, {"type": "toolCallRequest", "toolCallRequest": {"type": "function", "name": "add", "arguments": {"a": 1}}}]},
        {"role": "tool", "content": [{"type": "toolCallResult", "content": "3"}]},
    ]  # fmt: skip
    tool = {"type": "function", "function": {"name": "add"}}
    parameter = {"specifier": CHAT, "history": {"messages": history}, "predictionConfigStack": {"layers": []}}
    made = raw_client.call("applyPromptTemplate", {**parameter, "opts": {"toolDefinitions": [tool]}})["result"][
        "formatted"
    ]
    order = ["<|im_start|>system\nBe brief.", '{"name":"add"}', "1+2?", '<tool_call>{"name":"add","arguments":{"a":1}}']
    assert [made.find(part) for part in order] == sorted(made.find(part) for part in order)
    assert -1 not in [made.find(part) for part in order]
    assert made.endswith("<tool_response>3</tool_response><|im_end|>\n<|im_start|>assistant\n")


# --- pages in browsers, and secrets


@pytest.mark.parametrize("origins", [(), ("http://localhost:5173",)])
def test_page_of_another_origin_is_refused(origins: tuple[str, ...]) -> None:
    with (
        Emulator(origins=origins) as server,
        pytest.raises(InvalidStatus) as refused,
        connect(f"{server.url}/llm", origin=Origin("http://evil.example"), open_timeout=5),
    ):
        pass
    assert refused.value.response.status_code == 403
    assert b"http://evil.example" in (refused.value.response.body or b"")


@pytest.mark.parametrize("origins", [("http://localhost:5173",), ("*",)])
def test_page_of_an_allowed_origin_connects(origins: tuple[str, ...]) -> None:
    with (
        Emulator(origins=origins) as server,
        connect(f"{server.url}/llm", origin=Origin("http://localhost:5173"), open_timeout=5) as page,
    ):
        page.send(json.dumps(GUEST))
        assert json.loads(page.recv(timeout=5)) == {"success": True}


def test_recorded_frames_show_no_secrets() -> None:
    content = "SGVsbG8gdGhlcmU="
    with Emulator() as server, RawClient(server, "files") as files:
        files.call("uploadFileBase64", {"name": "a.txt", "contentBase64": content})
        first, second = server.requests
        with pytest.raises(TimeoutError) as late:
            server.wait_for(lambda frame: False, 0.0)
    assert first.message["clientPasskey"] == GUEST["clientPasskey"]
    assert first.masked()["clientPasskey"] == "***"
    assert second.message["parameter"]["contentBase64"] == content
    assert second.masked()["parameter"] == {"name": "a.txt", "contentBase64": "(16 characters)"}
    for text in (repr(first), repr(second), str(late.value)):
        assert content not in text
        assert f"'{GUEST['clientPasskey']}'" not in text
