"""``wss://``: LM Studio behind a proxy that speaks TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioConnectionError
from tests.client.failure_modes.frame_builders import CHAT, cancelled, requests, wait_for_predictions

CERTIFIED = "localhost"


class TlsProxy:
    """Speaks TLS with its clients, and plain TCP to ``target`` on this machine."""

    def __init__(self, target: int, context: ssl.SSLContext) -> None:
        self._target = target
        self._context = context
        self._ready = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        pairs: set[asyncio.Task[None]] = set()

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pair = asyncio.create_task(self._forward(reader, writer))
            pairs.add(pair)
            pair.add_done_callback(pairs.discard)

        server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        while pairs:
            await asyncio.wait(pairs)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
            sink.close()
            with contextlib.suppress(OSError):
                await sink.wait_closed()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    def __enter__(self) -> int:
        self._thread.start()
        assert self._ready.wait(5)
        return self.port

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def port(server: Emulator, authority: trustme.CA) -> Iterator[int]:
    """Where the emulator can be reached by TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(CERTIFIED).configure_cert(context)
    with TlsProxy(server.port, context) as port:
        yield port
        server.drop_connections()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As users do it whose authority the system does not know."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("scheme", ["wss", "https"])
async def test_answer_over_tls_is_complete(server: Emulator, port: int, scheme: str) -> None:
    text = "Ode 🎵 " * 5000
    server.script(Reply(text), Reply(text))
    with Client(f"{scheme}://{CERTIFIED}:{port}") as client:
        assert client.llm.model(CHAT).respond("x" * 100_000).content == text
        (asked,) = requests(server, "predict")
        assert asked.message["creationParameter"]["history"]["messages"][0]["content"][0]["text"] == "x" * 100_000
        async with AsyncClient(f"{scheme}://{CERTIFIED}:{port}") as awaiting:
            assert (await awaiting.llm.just_in_time(CHAT).respond("hi")).content == text
        assert len({frame.connection for frame in requests(server, "predict")}) == 1, "both clients share one socket"


@pytest.mark.usefixtures("trusted")
def test_cancel_over_tls_reaches_the_server(server: Emulator, port: int) -> None:
    server.script(Reply("One two three", hold=ThreadsafeEvent(), hold_after=1))
    with Client(f"wss://{CERTIFIED}:{port}") as client:
        stream = client.llm.just_in_time(CHAT).respond_stream("hi")
        wait_for_predictions(server)
        stream.cancel()
        cancelled(server)
        assert stream.result().stats.stop_reason == "userStopped"


def test_certificate_of_an_unknown_authority_is_refused_with_that_reason(port: int) -> None:
    with pytest.raises(
        LMStudioConnectionError, match=r"the certificate of wss://.* cannot be verified.*ssl_context"
    ) as caught:
        Client(f"wss://{CERTIFIED}:{port}").system.version()
    assert "lms server start" not in str(caught.value), "the server runs"


@pytest.mark.usefixtures("trusted")
def test_certificate_for_another_name_is_refused(port: int) -> None:
    with pytest.raises(LMStudioConnectionError, match=r"(?i)certificate|hostname|IP address"):
        Client(f"wss://127.0.0.1:{port}").system.version()


def test_server_without_tls_raises_for_wss(server: Emulator) -> None:
    with pytest.raises(LMStudioConnectionError, match=f"use ws://127.0.0.1:{server.port}") as caught:
        Client(f"wss://127.0.0.1:{server.port}", timeout=5).system.version()
    assert "lms server start" not in str(caught.value)
