"""Nothing that a client sends makes the emulator fail: frames changed at random, from a fixed seed."""

from __future__ import annotations

import pytest

from lmstudio_integrations.emulator.wire.calls import Endpoint
from lmstudio_integrations.emulator.wire.endpoints import ENDPOINTS
from tests.emulator.wire.client_frames import problems

pytestmark = [pytest.mark.timeout(50), pytest.mark.invalid_frames]


def test_mutated_frames_of_clients_end_in_no_traceback() -> None:
    assert problems(300, seed=13) == []


@pytest.mark.parametrize("name", ["tokenize", "predict"])
def test_a_failure_of_an_endpoint_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    async def fail(call: object) -> None:
        raise KeyError("on purpose")

    table = dict(ENDPOINTS["llm"])
    old = table[name]
    table[name] = Endpoint(old.shape, old.rpc and fail, old.channel and fail)
    monkeypatch.setitem(ENDPOINTS, "llm", table)
    assert any("KeyError" in problem for problem in problems(200, seed=13))
