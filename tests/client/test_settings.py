"""Addresses, tokens and time limits, as people write them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import SecretStr

from lmstudio_integrations import Client, LMStudioValueError, Timeout, get_sync_api_timeout, set_sync_api_timeout
from lmstudio_integrations.client.settings import is_local, parse_address, parse_token

TOKEN = "sk-lm-AbCd1234:abcdefghij0123456789"
OTHER = "sk-lm-WxYz9876:zyxwvutsrq9876543210"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("ws://localhost:1234", "ws://localhost:1234"),
        ("wss://lm.example.org", "wss://lm.example.org"),
        ("http://localhost:1234", "ws://localhost:1234"),
        ("https://lm.example.org:8443", "wss://lm.example.org:8443"),
        ("HTTP://LocalHost:1234", "ws://localhost:1234"),
        ("http://localhost", "ws://localhost"),
        ("localhost:5000", "ws://localhost:5000"),
        ("localhost", "ws://localhost:1234"),
        ("192.168.1.5", "ws://192.168.1.5:1234"),
        ("[::1]:5000", "ws://[::1]:5000"),
        ("[::1]", "ws://[::1]:1234"),
        ("ws://[fe80::1]:5000/", "ws://[fe80::1]:5000"),
        ("https://example.org/lm/studio", "wss://example.org/lm/studio"),
        ("https://example.org/lm/studio/", "wss://example.org/lm/studio"),
        ("host/prefix", "ws://host:1234/prefix"),
        ("my_host.", "ws://my_host.:1234"),
        (f"{'a' * 63}.example", f"ws://{'a' * 63}.example:1234"),
        ("ws://münchen.example", "ws://münchen.example"),
        ("http://localhost:1234/v1", "ws://localhost:1234"),
        ("http://localhost:1234/v1/", "ws://localhost:1234"),
        ("https://example.org/lm/v1", "wss://example.org/lm"),
        ("  localhost:1234\n", "ws://localhost:1234"),
    ],
)
def test_parse_address_reads_every_usual_form(given: str, used: str) -> None:
    assert parse_address(given) == used
    assert parse_address(used) == used


@pytest.mark.parametrize(
    "given",
    [
        "",
        "  ",
        "ws://",
        "http:///v1",
        "ftp://host",
        "file:///etc",
        "::1",
        "host:port",
        "host:99999",
        "ws://host:-1",
        "http://[::1",
        "ws://host?x=1",
        "ws://host#x",
        "ws://ho st",
        "ws://host/a b",
        "ws://host/\x00",
        "ws://ho\\st",
        "http://a..b:1234",
        ".host",
        f"{'a' * 64}.example",
        f"{'a.' * 127}aa",
        "ws://ho\u2028st",
        "localhost:0",
        "user@host",
        5,
        b"localhost",
    ],
)
def test_parse_address_refuses_invalid_addresses(given: Any) -> None:
    with pytest.raises(LMStudioValueError):
        parse_address(given)
    with pytest.raises(LMStudioValueError):
        Client(given)


@pytest.mark.parametrize(
    "given",
    [
        "ws://user:hunter2@host",
        "ws://user:hunter2@host:99999",
        "ftp://user:hunter2@host",
        "ws://host?token=hunter2",
        "ws://host:99999?token=hunter2",
        "ws://host#hunter2",
    ],
)
def test_secret_in_an_address_is_not_repeated_in_the_error(given: str) -> None:
    with pytest.raises(LMStudioValueError) as caught:
        parse_address(given)
    assert "hunter2" not in str(caught.value)


def test_parse_address_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_address(None) is None
    monkeypatch.setenv("LMSTUDIO_BASE_URL", "https://example.org/lm")
    assert parse_address(None) == "wss://example.org/lm"
    assert Client().url == "wss://example.org/lm"
    assert Client("localhost:5").url == "ws://localhost:5"
    monkeypatch.setenv("LMSTUDIO_BASE_URL", "https://example.org/moved")
    assert parse_address(None) == "wss://example.org/moved"
    monkeypatch.setenv("LMSTUDIO_BASE_URL", "")
    assert parse_address(None) is None


@pytest.mark.parametrize(
    ("base", "local"),
    [
        ("ws://localhost:1234", True),
        ("ws://127.0.0.1:1234", True),
        ("ws://127.1.2.3:1234", True),
        ("ws://[::1]:1234", True),
        ("ws://lm.localhost", True),
        ("ws://192.168.1.5:1234", False),
        ("wss://example.org", False),
        ("ws://localhost.example.org", False),
    ],
)
def test_is_local_tells_this_machine_from_others(base: str, local: bool) -> None:
    assert is_local(base) is local


# Tokens


def parts(token: Any) -> tuple[str, str] | None:
    authentication = parse_token(token)
    return None if authentication is None else (authentication.client_identifier, authentication.client_passkey)


def test_parse_token_splits_a_token() -> None:
    assert parts(TOKEN) == ("AbCd1234", "abcdefghij0123456789")


def test_parse_token_accepts_a_secret_str() -> None:
    assert parts(SecretStr(TOKEN)) == parts(TOKEN)


def test_parse_token_without_a_token_is_a_guest() -> None:
    assert parse_token(None) is None


def test_parse_token_reads_both_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_API_TOKEN", OTHER)
    assert parts(None) == parts(OTHER)
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", f" {TOKEN}\n")
    assert parts(None) == parts(TOKEN)
    assert parts(OTHER) == parts(OTHER)
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", "")
    assert parts(None) == parts(OTHER)


@pytest.mark.parametrize(
    "token",
    [
        TOKEN + "x",
        TOKEN[:-1],
        TOKEN.replace(":", ""),
        TOKEN + "\n",
        " " + TOKEN,
        TOKEN.replace("A", "Ä"),
        TOKEN.replace("A", "-"),
        SecretStr("sk-lm-secret-thing"),
        5,
        TOKEN.encode(),
    ],
)
def test_malformed_token_is_refused_and_not_repeated(token: Any) -> None:
    with pytest.raises(LMStudioValueError) as caught:
        parse_token(token)
    words = str(caught.value)
    assert "abcdefghij" not in words
    assert "secret-thing" not in words


@pytest.mark.parametrize("key", ["", "lm-studio", "not-needed", "sk-1234", SecretStr("secret-thing")])
def test_parse_token_of_a_placeholder_key_is_a_guest_and_reads_no_environment(
    key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Number 15: what users of the OpenAI-compatible endpoint pass for "none"."""
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", TOKEN)
    assert parse_token(key) is None


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/chat/completions", "/api/v0", "/api/v0/models", "/api/v1", "/api/v1/chat"]
)
def test_parse_address_cuts_off_the_paths_of_the_rest_api(path: str) -> None:
    assert parse_address(f"http://localhost:1234{path}") == "ws://localhost:1234"
    assert parse_address(f"https://example.org/studio{path}") == "wss://example.org/studio"


# Time limits


def test_timeout_defaults_have_no_total_limit() -> None:
    limits = Timeout()
    assert (limits.connect, limits.first_packet, limits.idle, limits.total, limits.load) == (4, 300, 300, None, 600)


def test_timeout_of_a_number_sets_connect_first_packet_and_idle() -> None:
    assert Timeout.of(5) == Timeout(connect=5, first_packet=5, idle=5, total=None, load=600)
    assert Timeout.of(0.5).idle == 0.5


def test_timeout_of_a_mapping_changes_the_named_limits() -> None:
    assert Timeout.of({"total": 60, "idle": None}) == Timeout(total=60, idle=None)


def test_timeout_of_a_call_is_based_on_the_clients() -> None:
    base = Timeout(connect=1, total=9)
    assert Timeout.of(None, base) is base
    assert Timeout.of(5, base) == Timeout(connect=5, first_packet=5, idle=5, total=9)
    assert Timeout.of({"connect": 2}, base) == Timeout(connect=2, total=9)
    assert Timeout.of(Timeout(), base) == Timeout()


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, True, False, float("nan"), "5", [5], object()),
        *({"conect": 5}, {"connect": 0}, {"total": "5"}, {1: 2}, {"reconnect": None}, {"reconnect": -1}),
    ],
)
def test_invalid_time_limit_is_refused(value: Any) -> None:
    with pytest.raises(LMStudioValueError, match="time limit"):
        Timeout.of(value)
    with pytest.raises(LMStudioValueError, match="time limit"):
        Client("localhost", timeout=value)


@pytest.mark.parametrize("name", ["connect", "first_packet", "idle", "total", "load"])
def test_every_time_limit_is_checked_and_named_in_the_error(name: str) -> None:
    for value in (0, True, float("nan"), "5"):
        with pytest.raises(LMStudioValueError, match=f"{name}="):
            Timeout(**{name: value})  # type: ignore[arg-type]  # which is the point
    assert getattr(Timeout(**{name: None}), name) is None  # type: ignore[arg-type]  # `reconnect` is not among them


def test_timeout_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Timeout(total=5))) == Timeout(total=5)


@pytest.mark.parametrize("seconds", ["5", 0, -1, True])
def test_sync_api_timeout_of_no_time_limit_is_refused(seconds: Any) -> None:
    with pytest.raises(LMStudioValueError, match="time limit"):
        set_sync_api_timeout(seconds)
    assert get_sync_api_timeout() == 300
