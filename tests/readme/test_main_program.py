"""``python -m lmstudio_integrations``, which the README names for when something does not work."""

from __future__ import annotations

import re
import socket

import pytest

from lmstudio_integrations.__main__ import main
from lmstudio_integrations.emulator import EmulatedModel, Emulator


def test_it_names_the_server_its_models_and_one_round_trip(capsys: pytest.CaptureFixture[str]) -> None:
    with Emulator() as server:
        assert main(["--url", server.url]) == 0
    printed = capsys.readouterr().out
    assert f"server:     {server.url}" in printed
    assert "version:    emulator (build 0)" in printed
    assert "downloaded: emulator/chat (llm)\n            emulator/chat-2 (llm)" in printed
    assert "loaded:     emulator/chat (llm)\n            emulator/embedding (embedding)" in printed
    assert re.search(r"round trip: emulator/chat took \d+\.\d\d s", printed)
    assert re.search(r"\d+ prompt tokens, \d+ generated, .* stopped by eosFound", printed)


def test_it_loads_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    with Emulator([EmulatedModel("some/model")]) as server:
        assert main(["--url", server.url]) == 0
        assert server.loaded == []
    assert "no LLM is loaded" in capsys.readouterr().out


def test_where_nobody_answers_it_says_so_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening
        assert main(["--url", f"ws://127.0.0.1:{nobody.getsockname()[1]}"]) == 1
    said = capsys.readouterr().err
    assert "LMStudioServerNotFoundError" in said
    assert "lms server start" in said


def test_a_wrong_token_is_named_as_the_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token, wrong = (f"sk-lm-{letter * 8}:{letter * 20}" for letter in "ab")
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", wrong)
    with Emulator(api_token=token) as server:
        assert main(["--url", server.url]) == 1
    said = capsys.readouterr().err
    assert "LMStudioAuthenticationError" in said
    assert "b" * 8 not in said
