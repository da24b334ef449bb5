"""``python -m lmstudio_integrations``, which the README names for when something does not work."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys

import pytest

from lmstudio_integrations.__main__ import main
from lmstudio_integrations.client.transport import discovery
from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply

TOKEN, WRONG_TOKEN = (f"sk-lm-{letter * 8}:{letter * 20}" for letter in "ab")


def test_report_names_the_server_its_models_and_one_round_trip(capsys: pytest.CaptureFixture[str]) -> None:
    with Emulator() as server:
        assert main(["--url", server.url]) == 0
    printed = capsys.readouterr().out
    assert f"server:     {server.url}" in printed
    assert "version:    emulator (build 0)" in printed
    assert "downloaded: emulator/chat (llm)\n            emulator/chat-2 (llm)" in printed
    assert "loaded:     emulator/chat (llm)\n            emulator/embedding (embedding)" in printed
    assert re.search(r"round trip: emulator/chat took \d+\.\d\d s", printed)
    assert re.search(r"\d+ prompt tokens, \d+ generated, .* stopped by eosFound", " ".join(printed.split()))


def test_report_loads_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    with Emulator([EmulatedModel("some/model")]) as server:
        assert main(["--url", server.url]) == 0
        assert server.loaded == []
    assert "no LLM is loaded" in capsys.readouterr().out


def test_report_names_the_device_of_a_model_on_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    with Emulator([EmulatedModel("near", loaded=True), EmulatedModel("far", loaded=True, device="attic")]) as server:
        assert main(["--url", server.url]) == 0
        assert "loaded:     near (llm)\n            far (llm, on attic)" in capsys.readouterr().out
        assert main(["--url", server.url, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["downloaded"] == [{"name": "near", "type": "llm"}, {"name": "far", "type": "llm", "device": "attic"}]


def test_report_without_a_server_says_so_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening
        assert main(["--url", f"ws://127.0.0.1:{nobody.getsockname()[1]}"]) == 1
    said = capsys.readouterr().err
    assert "LMStudioServerNotFoundError" in said
    assert "lms server start" in " ".join(said.split())  # the lines are wrapped


def test_report_with_a_wrong_token_names_it_as_the_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", WRONG_TOKEN)
    with Emulator(api_token=TOKEN) as server:
        assert main(["--url", server.url]) == 1
    said = capsys.readouterr().err
    assert "LMStudioAuthenticationError" in said
    assert "b" * 8 not in said


def test_report_names_the_port_that_answers_without_an_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LMSTUDIO_BASE_URL", "LMSTUDIO_API_TOKEN", "LM_API_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    with Emulator() as server:
        monkeypatch.setattr(discovery, "DEFAULT_PORTS", (server.port,))
        assert main([]) == 0
    printed = _line(capsys)
    assert f"server:     ws://127.0.0.1:{server.port} (found at one of LM Studio's usual ports)" in printed
    assert "token:      none" in printed


def test_report_names_the_variable_of_the_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Emulator() as server:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", server.url)
        assert main([]) == 0
    assert f"{server.url} (from LMSTUDIO_BASE_URL)" in capsys.readouterr().out


@pytest.mark.parametrize("variable", ["LMSTUDIO_API_TOKEN", "LM_API_TOKEN"])
def test_report_names_the_variable_of_the_token_and_not_the_token(
    variable: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LMSTUDIO_API_TOKEN", raising=False)
    monkeypatch.setenv(variable, TOKEN)
    with Emulator(api_token=TOKEN) as server:
        assert main(["--url", server.url]) == 0
        assert main(["--url", server.url, "--json"]) == 0
    printed = capsys.readouterr().out
    assert f"token:      from {variable}" in printed
    assert f'"token_from": "{variable}"' in printed
    assert "a" * 8 not in printed


def test_json_has_the_same_facts_as_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    with Emulator() as server:
        server.script(Reply("Blue — like the sea.", prompt_tokens=23))
        assert main(["--url", server.url, "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert printed.err == ""
    assert (report["url"], report["found_by"]) == (server.url, "--url")
    assert (report["server_version"], report["server_build"]) == ("emulator", 0)
    assert {"name": "emulator/chat-2", "type": "llm"} in report["downloaded"]
    assert [model["name"] for model in report["loaded"]] == ["emulator/chat", "emulator/embedding"]
    assert report["round_trip"]["answer"] == "Blue — like the sea."
    assert report["round_trip"]["prompt_tokens"] == 23
    assert report["round_trip"]["seconds"] > 0
    assert report["round_trip"]["stop_reason"] == "eosFound"
    assert set(report["packages"]) >= {"websockets", "pydantic"}
    assert report["error"] is None


def test_json_of_a_missing_server_is_complete_and_has_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert main(["--url", f"ws://127.0.0.1:{silent.getsockname()[1]}", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["error"]["type"] == "LMStudioServerNotFoundError"
    assert "lms server start" in report["error"]["message"]
    assert report["url"] is report["server_version"] is report["round_trip"] is None


def test_failed_round_trip_ends_with_1_after_everything_else(capsys: pytest.CaptureFixture[str]) -> None:
    with Emulator() as server:
        server.script(Reply(error="The engine is out of memory"))
        assert main(["--url", server.url]) == 1
    printed = capsys.readouterr()
    assert "loaded:     emulator/chat (llm)" in printed.out
    assert "The engine is out of memory" in printed.err


def test_wrong_argument_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--jason"])
    assert ended.value.code == 2
    assert "--json" in capsys.readouterr().err


@pytest.mark.parametrize(("columns", "widest"), [(None, 120), ("60", 60)])
def test_piped_report_is_wrapped_and_indented(columns: str | None, widest: int) -> None:
    answer = "The sky is blue because air scatters short waves of light more than long ones, " * 4
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    if columns is not None:
        environment["COLUMNS"] = columns
    with Emulator() as server:
        server.script(Reply(answer))
        ran = subprocess.run(
            [sys.executable, "-m", "lmstudio_integrations", "--url", server.url],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
    lines = ran.stdout.splitlines()
    assert max(map(len, lines)) <= widest
    first = next(at for at, line in enumerate(lines) if line.startswith("round trip: "))
    assert lines[first + 1].startswith(" " * 12)
    assert lines[first + 1].strip()[0] != " "


def _line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without its line breaks."""
    return re.sub(r"\n {12}", " ", capsys.readouterr().out)
