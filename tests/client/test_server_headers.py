"""Headers and basic authentication for a reverse proxy: they arrive with each connection and show nowhere else."""

from __future__ import annotations

import base64
import contextlib
import copy
import logging
import pickle
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest
from pydantic import SecretStr

from lmstudio_integrations import (
    AsyncClient,
    Client,
    LMStudioAuthenticationError,
    LMStudioConnectionError,
    LMStudioError,
    LMStudioValueError,
)
from lmstudio_integrations.client.server_headers import ServerHeaders, parse_headers, parse_server, split_user
from lmstudio_integrations.emulator import Emulator
from tests.client.client_variants import FRONTS
from tests.client.reverse_proxy import ReverseProxy

USER, PASSWORD, KEY = "ann", "hunter2:@/ü", "key-4711-4711"
IN_URL = "ann:hunter2%3A%40%2F%C3%BC"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
TOKEN = "sk-lm-AbCd1234:abcdefghij0123456789"
SECRETS = (PASSWORD, "hunter2", BASIC, BASIC[6:], KEY)


@pytest.fixture
def guarded(lmstudio_emulator: Emulator) -> Iterator[ReverseProxy]:
    with ReverseProxy(lmstudio_emulator.url, {"Authorization": BASIC, "X-Key": KEY}) as proxy:
        yield proxy


def secrets_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


# Parsing


@pytest.mark.parametrize(
    ("url", "rest"),
    [
        (f"ws://{IN_URL}@host:1", "ws://host:1"),
        (f"https://{IN_URL}@host/lm/v1", "https://host/lm/v1"),
        (f"{IN_URL}@host", "host"),
        (f"http://{IN_URL}@[::1]:5", "http://[::1]:5"),
        ("http://ann:hunter2%3A@%2F%C3%BC@host", "http://host"),
    ],
)
def test_split_user_returns_address_and_authorization(url: str, rest: str) -> None:
    assert split_user(url) == (rest, BASIC)


@pytest.mark.parametrize("url", ["ws://host", "host/a:b@c", "ws://host/x:y@z", "user@host", "ws://host?u:p@x"])
def test_split_user_without_user_and_password_changes_nothing(url: str) -> None:
    assert split_user(url) == (url, None)


@pytest.mark.parametrize(
    "url",
    [
        "ws://ann%3Ax:hunter2@host",
        "ws://ann:hunter2%FF@host",
        "ws://ann:hunter2@host:99999",
        "ftp://ann:hunter2@host",
        "ws://ann:hun/hunter2@host",
        "ws://ann:12/hunter2@host",
        "ws://hunter2@host",
        f"ws://ann:{TOKEN}@host",
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_client_with_malformed_user_raises_without_repeating_it(url: str, kind: Any) -> None:
    with pytest.raises(LMStudioValueError) as caught:
        kind(url)
    assert "hunter2" not in str(caught.value)
    assert "abcdefghij" not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        5,
        "X-Key: hunter2",
        [("X-Key", "hunter2")],
        {"X-Key": ""},
        {"X-Key": None},
        {"X-Key": b"hunter2"},
        {"X-Key": "hunter2\r\nHost: other"},
        {"X-Key": "hunter2\x00"},
        {"X-Key": "hunter2ü"},
        {"X Key": "hunter2"},
        {"X-Key: hunter2": "x"},
        {"": "hunter2"},
        {5: "hunter2"},
        {"Host": "hunter2"},
        {"connection": "hunter2"},
        {"Sec-WebSocket-Key": "hunter2"},
        {"X-Key": "hunter2", "x-key": "hunter2"},
    ],
)
def test_headers_that_http_does_not_allow_raise_without_their_values(headers: Any) -> None:
    with pytest.raises(LMStudioValueError, match="header") as caught:
        Client("localhost:1", headers=headers)
    assert "hunter2" not in str(caught.value)


def test_parse_headers_accepts_text_and_secrets() -> None:
    parsed = parse_headers({"X-Key": SecretStr(KEY), "Authorization": " Bearer a b "})
    assert parsed is not None
    assert list(parsed) == [("X-Key", KEY), ("Authorization", "Bearer a b")]
    assert parse_headers({}) is parse_headers(None) is None


def test_user_in_address_beside_an_authorization_header_is_refused() -> None:
    with pytest.raises(LMStudioValueError, match="Authorization"):
        Client("ws://ann:hunter2@localhost:1", headers={"authorization": "Bearer x"})


def test_server_headers_compare_by_value_and_show_nothing() -> None:
    one, same, other = (ServerHeaders([("X-Key", value)]) for value in (KEY, KEY, "else"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert not secrets_in(f"{one!r}{one}{ {one: one} }")
    with pytest.raises(TypeError):
        pickle.dumps(one)


# On the wire


@pytest.mark.parametrize("kind", FRONTS)
def test_every_connection_carries_headers_and_basic_authentication(guarded: ReverseProxy, kind: Any) -> None:
    front = kind(guarded.url)
    front.client = type(front.client)(f"http://{IN_URL}@{guarded.host}", headers={"X-Key": SecretStr(KEY)})
    front.llm = front.client.llm.just_in_time("emulator/chat")
    assert front.client.url == guarded.url
    assert front.client.api_host == guarded.host
    assert front.respond().content
    assert front.do("system.version").version == "emulator"
    assert front.do("embedding.list_loaded")
    front.close()
    assert [(head["authorization"], head["x-key"]) for head in guarded.heads] == [(BASIC, KEY)] * 3


def test_address_of_the_environment_may_have_a_user(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReverseProxy(lmstudio_emulator.url, {"Authorization": BASIC}) as proxy:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", f"ws://{IN_URL}@{proxy.host}")
        with Client() as client:
            assert client.url == proxy.url
            assert client.system.version().version == "emulator"


def test_is_valid_api_host_sends_the_user_of_the_address(guarded: ReverseProxy, lmstudio_emulator: Emulator) -> None:
    assert not Client.is_valid_api_host(guarded.url)
    with ReverseProxy(lmstudio_emulator.url, {"Authorization": BASIC}) as proxy:
        assert Client.is_valid_api_host(f"http://{IN_URL}@{proxy.host}")


def test_clients_with_other_headers_share_no_connection(lmstudio_emulator: Emulator) -> None:
    with ReverseProxy(lmstudio_emulator.url, {}) as proxy:
        for key in ("a", "b", "a"):
            Client(proxy.url, headers={"X-Key": key}).system.version()
        assert [head["x-key"] for head in proxy.heads] == ["a", "b"]


@pytest.mark.parametrize("headers", [None, {"X-Key": KEY}])
def test_refusal_by_the_proxy_is_an_authentication_error_and_not_repeated(
    guarded: ReverseProxy, headers: dict[str, str] | None
) -> None:
    with Client(guarded.url, headers=headers) as client:
        with pytest.raises(LMStudioAuthenticationError, match=r"401.*reverse proxy wants") as caught:
            client.system.version()
        assert not secrets_in(str(caught.value))
    assert len(guarded.heads) == 1


def test_redirect_is_not_followed_so_headers_do_not_travel(lmstudio_emulator: Emulator) -> None:
    with (
        ReverseProxy(lmstudio_emulator.url, {}) as target,
        ReverseProxy(lmstudio_emulator.url, {}, redirect_to=f"http://{target.host}/system") as proxy,
        Client(f"ws://{IN_URL}@{proxy.host}", headers={"X-Key": KEY}) as client,
    ):
        with pytest.raises(LMStudioConnectionError, match="302"):
            client.system.version()
        assert len(proxy.heads) == 1
        assert target.heads == []


# Secrets


def _locals_of(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    """The local variables of all frames of an error and its causes, but for those of tests."""
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        trace: TracebackType | None = error.__traceback__
        while trace is not None:
            if "/tests/" not in trace.tb_frame.f_code.co_filename:
                for value in list(trace.tb_frame.f_locals.values()):
                    yield repr(value)
            trace = trace.tb_next
        yield from _locals_of(error.__context__, seen)
        error = error.__cause__


@pytest.mark.parametrize("fault", ["refused", "redirected", "not there", "no address"])
def test_headers_are_in_no_error_and_no_local_variable(lmstudio_emulator: Emulator, fault: str) -> None:
    redirect = "http://localhost:1/" if fault == "redirected" else None
    proxy = ReverseProxy(lmstudio_emulator.url, {"X-Other": "1"}, redirect_to=redirect)
    address = f"ws://{IN_URL}@{proxy.host}{':1' if fault == 'no address' else ''}"
    if fault == "not there":
        with proxy:
            pass  # its port is free now
    with proxy if fault != "not there" else contextlib.nullcontext(), pytest.raises(LMStudioError) as caught:
        Client(address, headers={"X-Key": KEY}).system.version()
    caught_error = caught.value
    assert not secrets_in("".join(traceback.format_exception(caught_error)))
    assert not secrets_in("\n".join(_locals_of(caught_error, set())))


def test_headers_are_in_no_log(guarded: ReverseProxy, caplog: pytest.LogCaptureFixture) -> None:
    for logger in ("websockets", "websockets.client", "lmstudio_integrations", "asyncio"):
        caplog.set_level(logging.DEBUG, logger)
    with Client(f"ws://{IN_URL}@{guarded.host}", headers={"X-Key": KEY}) as client:
        client.system.version()
    # The emulator is the other side of the wire.
    logged = [record.getMessage() for record in caplog.records if record.threadName != "lmstudio-emulator"]
    assert not secrets_in("\n".join(logged))
    assert "> X-Key: …" in logged
    assert "> Upgrade: websocket" in logged


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_headers_are_in_no_repr_and_no_pickle_of_a_client(kind: Any) -> None:
    client = kind(f"ws://{IN_URL}@localhost:1", headers={"X-Key": KEY})
    handle = client.llm.just_in_time("some/model")
    for thing in (client, handle, client.llm, client.files, client.system):
        assert not secrets_in(f"{thing!r}{thing}{vars(thing)!r}")
    for thing in (client, handle):
        stored = pickle.dumps(thing)
        assert not [secret for secret in (*SECRETS, USER) if secret.encode() in stored]


def test_copy_of_a_client_keeps_its_headers(guarded: ReverseProxy) -> None:
    client = Client(f"ws://{IN_URL}@{guarded.host}", headers={"X-Key": KEY})
    assert copy.copy(client).system.version().version == "emulator"
    assert copy.deepcopy(client).system.version().version == "emulator"


def test_unpickled_client_raises_at_first_use_with_the_missing_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = pickle.dumps(Client(f"ws://{IN_URL}@localhost:1", headers={"X-Key": KEY}))
    again = pickle.dumps(pickle.loads(stored))
    monkeypatch.setenv("LMSTUDIO_BASE_URL", f"ws://{IN_URL}@localhost:1")  # has no X-Key
    for client in (pickle.loads(stored), pickle.loads(again), copy.copy(pickle.loads(stored))):
        with pytest.raises(LMStudioAuthenticationError, match="X-Key, Authorization"):
            client.system.version()


def test_unpickled_client_takes_basic_authentication_from_the_environment(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReverseProxy(lmstudio_emulator.url, {"Authorization": BASIC}) as proxy:
        stored = pickle.dumps(Client(f"ws://{IN_URL}@{proxy.host}"))
        monkeypatch.setenv("LMSTUDIO_BASE_URL", f"ws://{IN_URL}@{proxy.host}")
        assert pickle.loads(stored).system.version().version == "emulator"
        monkeypatch.setenv("LMSTUDIO_BASE_URL", f"ws://{IN_URL}@other:1")
        with pytest.raises(LMStudioAuthenticationError, match="Authorization"):
            pickle.loads(stored).system.version()


def test_unpickled_client_raises_at_first_use_if_it_lacks_a_token(
    monkeypatch: pytest.MonkeyPatch, lmstudio_emulator: Emulator
) -> None:
    """Number 15: an object that had a token and finds none after unpickling says so at first use."""
    stored = pickle.dumps(Client(lmstudio_emulator.url, api_token=TOKEN))
    with pytest.raises(LMStudioAuthenticationError, match="pickles do not hold"):
        pickle.loads(stored).system.version()
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", TOKEN)
    assert pickle.loads(stored).system.version().version == "emulator"


@pytest.mark.parametrize(
    ("url", "headers", "warned"),
    [
        ("ws://192.0.2.41:1", {"X-Key": KEY}, True),
        (f"ws://{IN_URL}@192.0.2.42:1", None, True),
        ("ws://192.0.2.43:1", None, False),
        ("wss://192.0.2.44:1", {"X-Key": KEY}, False),
        ("ws://127.0.0.1:1", {"X-Key": KEY}, False),
    ],
)
def test_headers_without_encryption_to_another_machine_are_warned_of_once(
    url: str, headers: dict[str, str] | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    Client(url, headers=headers)
    Client(url, headers=headers)
    warnings = [record.getMessage() for record in caplog.records if "not encrypted" in record.getMessage()]
    assert len(warnings) == warned
    assert all("headers" in warning and not secrets_in(warning) for warning in warnings)


def test_parse_server_reads_the_environment_only_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSTUDIO_BASE_URL", f"http://{IN_URL}@host/v1")
    base, headers = parse_server(None)
    assert base == "ws://host"
    assert headers == ServerHeaders([("Authorization", BASIC)])
    assert parse_server("other") == ("ws://other:1234", None)
