"""For all tests: every emulator that is used in one has its frames checked by two witnesses when the test ends.

Frames of a client must be valid unless the test bears the marker ``invalid_frames``; frames of the emulator must be
valid unless a fault was asked of it.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.frame_validation.emulators import Watch
from tests.frame_validation.shared import SCHEMA_PATH

if TYPE_CHECKING:
    from tests.movable_clock import MovableClock


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not checked, because the schema and the recorded frames of LM Studio are not there."""
    if not SCHEMA_PATH.is_file():
        terminalreporter.write_line(
            f"NOT CHECKED: {SCHEMA_PATH.parent} is missing, so no frame was compared with LM Studio's schema "
            "and no recorded frame was replayed; the official SDK's message models checked every frame."
        )


class _Watched:
    """The emulators that were started in this process, and the collections of faults that are not empty."""

    def __init__(self) -> None:
        self.watches: dict[int, tuple[Any, Watch]] = {}
        self.stopped: set[int] = set()
        self.faulty: list[Any] = []

    def started(self, server: Any) -> None:
        if id(server) not in self.watches:
            self.watches[id(server)] = (server, Watch(server))
        self.stopped.discard(id(server))

    def check(self, *, client: bool) -> None:
        for server, watch in list(self.watches.values()):
            whole = not any(server.faults is faults for faults in self.faulty)
            watch.check(client=client, server=whole)

    def forget(self) -> None:
        """Drop those that have been stopped; the others live on in a wider fixture."""
        for key in self.stopped:
            del self.watches[key]
        self.stopped.clear()
        running = [server.faults for server, _ in self.watches.values()]  # an emulator may get faults and never start
        self.faulty = [faults for faults in self.faulty if any(faults is one for one in running)]


@pytest.fixture(scope="session")
def watched_emulators() -> Iterator[_Watched]:
    watched = _Watched()
    with pytest.MonkeyPatch.context() as patch:
        try:
            emulator = importlib.import_module("lmstudio_integrations.emulator").Emulator
            faults = importlib.import_module("lmstudio_integrations.emulator.faults").Faults
        except (ImportError, AttributeError):  # the tests of the other layers need no emulator
            yield watched
            return
        start, stop, add = emulator.start, emulator.stop, faults.add

        def noted_start(self: Any, *args: Any, **kwargs: Any) -> Any:
            watched.started(self)
            return start(self, *args, **kwargs)

        def noted_stop(self: Any, *args: Any, **kwargs: Any) -> Any:
            if id(self) in watched.watches:
                watched.stopped.add(id(self))
            return stop(self, *args, **kwargs)

        @functools.wraps(add)  # scenario files read its signature
        def noted_add(self: Any, *args: Any, **kwargs: Any) -> Any:
            fault = add(self, *args, **kwargs)  # nothing is added if it raises
            watched.faulty.append(self)
            return fault

        patch.setattr(emulator, "start", noted_start)
        patch.setattr(emulator, "stop", noted_stop)
        patch.setattr(faults, "add", noted_add)
        yield watched


@pytest.fixture(autouse=True)
def _emulators_speak_the_protocol(request: pytest.FixtureRequest, watched_emulators: _Watched) -> Iterator[None]:
    yield
    client = request.node.get_closest_marker("invalid_frames") is None
    try:
        watched_emulators.check(client=client)
    finally:
        watched_emulators.forget()


@pytest.fixture(autouse=True)
def _ports_are_unknown_to_the_client() -> None:
    """Each test starts as in a new process, where no address has answered and no image was uploaded.

    The kernel may give a server the port of an earlier test's server. To the client, which keeps what it knows of an
    address, it would be that server after a restart, and it would connect again and again for many seconds.
    """
    thread = sys.modules.get("lmstudio_integrations.client.transport.thread")
    running = None if thread is None else thread._process.io_thread
    if running is not None:
        for pool in list(running._pools.values()):
            pool._has_connected = False
            pool.uploads.clear()


@pytest.fixture
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of this machine has neither an address nor a token of LM Studio."""
    for name in ("LMSTUDIO_BASE_URL", "LMSTUDIO_API_TOKEN", "LM_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovableClock:
    """The clock of the client's time limits, for a test that moves it."""
    from tests.movable_clock import MovableClock  # here, as the tests of the protocol need no client

    return MovableClock(monkeypatch)
