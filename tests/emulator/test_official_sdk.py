"""The official Python SDK, used as its documentation shows, against the emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lmstudio_integrations.emulator import Emulator, Reply

lms = pytest.importorskip("lmstudio", reason="the official SDK is not installed")


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def client(server: Emulator) -> Iterator[object]:
    with lms.Client(server.url.removeprefix("ws://")) as connected:
        yield connected


@pytest.mark.timeout(30)
def test_respond_gives_the_scripted_text_and_statistics(server, client) -> None:
    server.script(Reply("Hello there, 世界 👋🏽"))
    result = client.llm.model("emulator/chat").respond("Hi")
    assert result.content == "Hello there, 世界 👋🏽"
    assert result.stats.stop_reason == "eosFound"
    assert result.stats.total_tokens_count == result.stats.prompt_tokens_count + result.stats.predicted_tokens_count
