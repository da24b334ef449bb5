"""The API token goes to the server in the first frame, and nowhere else."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from lmstudio_integrations import AsyncClient, Client, LMStudioAuthenticationError, LMStudioConnectionError
from lmstudio_integrations.emulator import Emulator
from tests.client.client_variants import FRONTS

NAME, PASSKEY = "AbCd1234", "abcdefghij0123456789"
TOKEN = f"sk-lm-{NAME}:{PASSKEY}"
OTHER = "sk-lm-AbCd1234:zyxwvutsrq9876543210"


@pytest.fixture
def guarded() -> Iterator[Emulator]:
    with Emulator(api_token=TOKEN) as server:
        yield server


@pytest.mark.parametrize("kind", FRONTS)
@pytest.mark.parametrize("variable", [None, "LMSTUDIO_API_TOKEN", "LM_API_TOKEN"])
def test_token_authenticates_every_namespace(
    guarded: Emulator, monkeypatch: pytest.MonkeyPatch, kind: Any, variable: str | None
) -> None:
    front = kind(guarded.url)
    if variable is None:
        front.client = type(front.client)(guarded.url, api_token=SecretStr(TOKEN))
    else:
        monkeypatch.setenv(variable, TOKEN)
        front.client = type(front.client)(guarded.url)
    front.llm = front.client.llm.just_in_time("emulator/chat")
    assert front.respond().content
    assert front.do("list_loaded_models")
    assert front.do("system.version")
    front.close()
    greetings = [r.message for r in guarded.requests if "authVersion" in r.message]
    assert len(greetings) == 3
    assert {(g["clientIdentifier"], g["clientPasskey"]) for g in greetings} == {(NAME, PASSKEY)}


@pytest.mark.parametrize("kind", FRONTS)
@pytest.mark.parametrize("token", [None, OTHER])
def test_wrong_or_missing_token_is_refused(guarded: Emulator, kind: Any, token: str | None) -> None:
    front = kind(guarded.url)
    front.client = type(front.client)(guarded.url, api_token=token)
    with pytest.raises(LMStudioAuthenticationError, match="LMSTUDIO_API_TOKEN"):
        front.do("system.version")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_token_is_in_no_repr_and_no_pickle(kind: Any) -> None:
    client = kind("localhost:1", api_token=TOKEN)
    handle = client.llm.just_in_time("some/model")
    for thing in (client, handle, client.llm, client.files, client.system):
        assert PASSKEY not in repr(thing)
        assert PASSKEY not in str(thing)
        assert PASSKEY not in repr(vars(thing))
    for thing in (client, handle):
        assert PASSKEY.encode() not in pickle.dumps(thing)
        assert NAME.encode() not in pickle.dumps(thing)


@pytest.mark.parametrize("token", [TOKEN + "x", TOKEN[:-1], f" {TOKEN}", SecretStr(TOKEN + "x")])
def test_malformed_token_is_in_no_traceback(token: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Client("localhost:1", api_token=token)
    shown = "".join(traceback.format_exception(caught.value))
    assert PASSKEY[:-1] not in shown
    assert NAME not in shown


def test_token_is_in_no_log_and_no_traceback(guarded: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Not even when everything is logged, the WebSocket library's frames included."""
    with caplog.at_level(logging.DEBUG):
        for logger in ("websockets", "websockets.client", "lmstudio_integrations", "asyncio"):
            caplog.set_level(logging.DEBUG, logger)
        with Client(guarded.url, api_token=TOKEN) as client:
            client.system.version()
        guarded.faults.add("refuse_auth", error=f"{PASSKEY} is not welcome", times=None)
        with Client(guarded.url, api_token=TOKEN) as client, pytest.raises(LMStudioAuthenticationError) as caught:
            client.llm.model("emulator/chat")
        shown = "".join(traceback.format_exception(caught.value))
    assert "refused the API token" in shown
    assert PASSKEY not in shown
    # The emulator is the other side of the wire, and may know the passkey.
    logged = [r.getMessage() for r in caplog.records if r.threadName != "lmstudio-emulator"]
    assert not [line for line in logged if PASSKEY in line]
    assert [line for line in logged if "listLoaded" in line or '"version"' in line], "frames are logged as such"


def test_missing_server_error_does_not_show_the_token() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with Client(address, api_token=TOKEN) as client, pytest.raises(LMStudioConnectionError) as caught:
        client.system.version()
    shown = "".join(traceback.format_exception(caught.value))
    assert address in shown
    assert PASSKEY not in shown


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("http://127.0.0.1:{}", "/system"),
        ("127.0.0.1:{}/lm/studio/", "/lm/studio/system"),
        ("ws://127.0.0.1:{}/lm/v1", "/lm/system"),
    ],
)
def test_path_prefix_of_a_reverse_proxy_precedes_the_namespace(address: str, path: str) -> None:
    """A bare socket in the proxy's place reads the request line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        lines: list[str] = []

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                lines.append(connection.recv(4096).split(b"\r\n")[0].decode())
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with (
            Client(address.format(listener.getsockname()[1])) as client,
            pytest.raises(LMStudioConnectionError, match="404"),
        ):
            client.system.version()
        thread.join()
    assert lines == [f"GET {path} HTTP/1.1"]


def test_address_of_the_environment_is_used(lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSTUDIO_BASE_URL", lmstudio_emulator.url.replace("ws://", "http://"))
    with Client() as client:
        assert client.system.version().version == "emulator"
