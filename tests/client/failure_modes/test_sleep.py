"""A dead socket that looks alive: the machine has slept, the router has forgotten, the server has stopped reading."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmstudio_integrations import AsyncClient, Client, Timeout
from lmstudio_integrations.client.transport import connection as connection_module
from lmstudio_integrations.client.transport.connection import Connection
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioTimeoutError
from tests.client.failure_modes.frame_builders import CHAT, connections, requests
from tests.client.failure_modes.misbehaving_servers import NonReadingServer, Proxy
from tests.movable_clock import MovableClock
from tests.time_limits import SURE_TO_EXPIRE

_HOUR = 3600.0


@pytest.fixture
def proxy(server: Emulator) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def sleep(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the wall clock of the client's connections, as a sleep of the machine does."""
    real, slept = Connection.clock, [0.0]
    monkeypatch.setattr(Connection, "clock", staticmethod(lambda: real() + slept[0]))

    def fall_asleep(seconds: float) -> None:
        slept[0] += seconds

    return fall_asleep


@pytest.fixture
def short_ping_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which no ping is answered."""
    monkeypatch.setattr(connection_module, "_PROBE_TIMEOUT", SURE_TO_EXPIRE)


@pytest.fixture
def long_ping_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which each ping is answered, on a slow machine too."""
    monkeypatch.setattr(connection_module, "_PROBE_TIMEOUT", 30.0)


@pytest.mark.usefixtures("short_ping_limit")
def test_dead_socket_after_sleep_is_replaced_transparently(proxy: Proxy, sleep: Callable[[float], None]) -> None:
    # A request on the dead socket would end by this limit.
    with Client(proxy.url, timeout=Timeout(first_packet=20)) as client:
        model = client.llm.model(CHAT)
        assert model.respond("hi").content
        proxy.freeze()
        sleep(_HOUR)
        assert model.respond("hi").content
        assert proxy.accepted == 2
        assert connections(proxy.url)["llm"].usable


@pytest.mark.usefixtures("short_ping_limit")
async def test_forty_calls_after_sleep_send_one_ping(
    server: Emulator, proxy: Proxy, sleep: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Connection] = []
    probe = Connection._probe

    async def counted(connection: Connection) -> bool:
        asked.append(connection)
        return await probe(connection)

    monkeypatch.setattr(Connection, "_probe", counted)
    async with AsyncClient(proxy.url) as client:
        model = await client.llm.model(CHAT)
        proxy.freeze()
        sleep(_HOUR)
        await asyncio.gather(*(model.count_tokens("two words") for _ in range(40)))
        assert proxy.accepted == 2
    assert len(asked) == 1
    assert len({frame.connection for frame in requests(server, "countTokens")}) == 1


@pytest.mark.usefixtures("long_ping_limit")
def test_live_socket_after_sleep_is_kept(proxy: Proxy, sleep: Callable[[float], None]) -> None:
    with Client(proxy.url) as client:
        model = client.llm.model(CHAT)
        for _ in range(3):
            sleep(_HOUR)
            assert model.respond("hi").content
        sleep(-2 * _HOUR)  # a clock that was set right
        assert model.respond("hi").content
        assert proxy.accepted == 1


def test_recently_active_socket_is_not_pinged(
    proxy: Proxy, sleep: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(proxy.url) as client:
        model = client.llm.model(CHAT)
        live = connections(proxy.url)["llm"]

        async def never() -> bool:
            raise AssertionError("it was asked")

        monkeypatch.setattr(live, "_probe", never)
        for _ in range(4):  # each answer is heard
            sleep(connection_module._IDLE_BEFORE_PROBE / 2)
            assert model.respond("hi").content


def test_running_answer_survives_an_unanswered_ping(
    server: Emulator, proxy: Proxy, sleep: Callable[[float], None]
) -> None:
    """A server too busy to answer a ping is left to finish what it has begun; new requests get a new socket."""
    gate = ThreadsafeEvent()
    server.script(Reply("One two three", hold=gate, hold_after=1))
    with Client(proxy.url) as client:
        model = client.llm.model(CHAT)
        stream = model.respond_stream("hi")
        fragments = iter(stream)
        first = next(fragments)
        sleep(_HOUR)
        busy = connections(proxy.url)["llm"]

        async def too_late() -> bool:
            busy.retire()
            return False

        busy._probe = too_late  # type: ignore[method-assign]
        assert model.tokenize("text")
        gate.set()
        assert str(first) + "".join(map(str, fragments)) == "One two three"
        assert proxy.accepted == 2
        server.wait_until(lambda: server.connections == 1)


@pytest.mark.usefixtures("short_ping_limit")
def test_dead_socket_under_an_answer_ends_by_the_idle_limit(
    server: Emulator, proxy: Proxy, clock: MovableClock
) -> None:
    server.script(Reply("One two three", hold=ThreadsafeEvent(), hold_after=1))
    with Client(proxy.url, timeout=Timeout(idle=100)) as client:
        stream = client.llm.model(CHAT).respond_stream("hi")
        words = iter(stream)  # kept, as letting go of it would cancel the prediction
        assert next(words).content.strip() == "One"
        proxy.freeze()
        clock.advance(100)
        with pytest.raises(LMStudioTimeoutError) as raised:
            stream.result()
        assert raised.value.limit == "idle"
        assert raised.value.partial.content.strip() == "One"
        proxy.wait_discarded()  # the cancel, at least


@pytest.fixture
def deaf() -> Iterator[NonReadingServer]:
    with NonReadingServer() as server:
        yield server


_LARGE = "x" * 30_000_000
_FIRST_PACKET = Timeout(first_packet=SURE_TO_EXPIRE)


def test_request_on_a_full_socket_keeps_its_time_limit(deaf: NonReadingServer) -> None:
    client = Client(deaf.url, timeout=_FIRST_PACKET)
    with pytest.raises(LMStudioTimeoutError) as raised:
        client.llm.just_in_time().tokenize(_LARGE)
    assert raised.value.limit == "first_packet"
    stream = client.llm.just_in_time().respond_stream(_LARGE)
    with pytest.raises(LMStudioTimeoutError):
        stream.result()
    client.close()


def test_embeddings_on_a_full_socket_keep_their_time_limit(deaf: NonReadingServer) -> None:
    with Client(deaf.url, timeout=_FIRST_PACKET) as client, pytest.raises(LMStudioTimeoutError) as raised:
        client.embedding.just_in_time().embed([_LARGE, _LARGE])
    assert raised.value.limit == "first_packet"


def test_client_closes_if_the_server_does_not_read(deaf: NonReadingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_CLOSE_TIMEOUT", SURE_TO_EXPIRE)
    client = Client(deaf.url)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.llm.just_in_time().respond_stream(_LARGE).result)
        deaf.wait_until(lambda: deaf.not_reading > 0)
        client.close()
        assert call.exception(10) is not None
