"""The hook in ``tests/conftest.py``: no test can use an emulator without its frames being looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.sync.client import connect

from lmstudio_integrations.emulator import Emulator

AUTH = {"authVersion": 1, "clientIdentifier": "a", "clientPasskey": "b"}
VERSION = {"type": "rpcCall", "endpoint": "version", "callId": 1}


def _say(server: Emulator, *frames: dict[str, Any]) -> None:
    with connect(f"{server.url}/system") as socket:
        for frame in (AUTH, *frames):
            socket.send(json.dumps(frame))
            socket.recv(timeout=5)


@pytest.mark.invalid_frames
def test_invalid_client_frame_fails_the_test_at_its_end(watched_emulators: Any) -> None:
    with Emulator() as server:
        _say(server, VERSION | {"extra": 1})
        with pytest.raises(AssertionError, match=r"unknown keys \[.extra.\]"):
            watched_emulators.check(client=True)


def test_valid_frames_are_checked_and_pass(watched_emulators: Any) -> None:
    with Emulator() as server:
        _say(server, VERSION)
        _, watch = watched_emulators.watches[id(server)]
        assert watch.check() == 4
        assert not watched_emulators.faulty
        server.faults.add("silent")
        assert len(watched_emulators.faulty) == 1
