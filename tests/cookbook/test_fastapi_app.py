"""The FastAPI example behind a real uvicorn: streaming, disconnecting clients, several users."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the dependency group `examples`")
httpx = pytest.importorskip("httpx", reason="needs the dependency group `examples`")
uvicorn = pytest.importorskip("uvicorn", reason="needs the dependency group `examples`")

from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent  # noqa: E402

COOKBOOK = Path(__file__).parents[2] / "cookbook"
BODY = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a mole?"}]}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as server:
        yield server


@pytest.fixture
def service(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the service, which asks ``emulator``."""
    monkeypatch.syspath_prepend(str(COOKBOOK))
    from fastapi_app import create_app

    with _served(create_app(emulator.url, "emulator/chat")) as address:
        yield address


@contextmanager
def _served(app: Any) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # clients can connect from now on, before uvicorn accepts
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def _ask(address: str) -> list[tuple[str, Any]]:
    with httpx.stream("POST", f"{address}/chat", json=BODY) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(_events(response.iter_lines()))


def _wait_for_cancel(emulator: Emulator) -> None:
    emulator.wait_for(lambda frame: frame.message.get("message") == {"type": "cancel"})


def test_fastapi_app_streams_progress_reasoning_text_and_statistics(service: str, emulator: Emulator) -> None:
    emulator.script(Reply("A wall\nin the sea – 波.", reasoning="An animal? No.", progress=(0.0, 1.0)))
    events = _ask(service)
    assert [data for name, data in events if name == "prompt"] == [0.0, 1.0]
    assert "".join(data for name, data in events if name == "reasoning") == "An animal? No."
    assert "".join(data for name, data in events if name == "text") == "A wall\nin the sea – 波."
    name, data = events[-1]
    assert name == "done"
    assert data["finish_reason"] == "stop"
    assert data["prompt_tokens"] > 0
    assert data["generated_tokens"] > 0


def test_fastapi_app_sends_conversation_and_settings(service: str, emulator: Emulator) -> None:
    httpx.post(f"{service}/chat", json={**BODY, "max_tokens": 3})
    sent = emulator.wait_for(lambda frame: frame.message.get("endpoint") == "predict").message["creationParameter"]
    assert [message["role"] for message in sent["history"]["messages"]] == ["system", "user"]
    assert '"llm.prediction.maxPredictedTokens"' in json.dumps(sent)


@pytest.mark.parametrize("after", [0, 2], ids=["while_the_prompt_is_processed", "while_text_streams"])
def test_fastapi_app_cancels_at_server_if_client_disconnects(service: str, emulator: Emulator, after: int) -> None:
    emulator.script(Reply("one two three four", hold=ThreadsafeEvent(), hold_after=after))
    with httpx.stream("POST", f"{service}/chat", json=BODY) as response:
        expected = "text" if after else "prompt"
        assert any(name == expected for name, _ in _events(response.iter_lines()))
    _wait_for_cancel(emulator)


def test_fastapi_app_does_not_cancel_an_answer_that_is_read(service: str, emulator: Emulator) -> None:
    assert _ask(service)[-1][0] == "done"
    assert not [frame for frame in emulator.requests if frame.message.get("message") == {"type": "cancel"}]


def test_fastapi_app_answers_two_users_at_once(service: str, emulator: Emulator) -> None:
    holds = ThreadsafeEvent(), ThreadsafeEvent()
    emulator.script(*(Reply(f"{name} {name}", hold=hold) for name, hold in zip(("red", "blue"), holds, strict=True)))
    with (
        httpx.stream("POST", f"{service}/chat", json=BODY) as first,
        httpx.stream("POST", f"{service}/chat", json=BODY) as second,
    ):
        streams = [_events(response.iter_lines()) for response in (first, second)]
        # Both have text before either is complete.
        texts = [next(data for name, data in stream if name == "text") for stream in streams]
        for hold in reversed(holds):
            hold.set()
        for at, stream in enumerate(streams):
            rest = list(stream)
            texts[at] += "".join(data for name, data in rest if name == "text")
            assert rest[-1][0] == "done"
    assert sorted(texts) == ["blue blue", "red red"]


def test_fastapi_app_goes_on_for_one_user_if_another_disconnects(service: str, emulator: Emulator) -> None:
    hold = ThreadsafeEvent()
    emulator.script(Reply("stays here", hold=hold), Reply("one two three", hold=ThreadsafeEvent(), hold_after=1))
    with httpx.stream("POST", f"{service}/chat", json=BODY) as staying:
        events = _events(staying.iter_lines())
        text = next(data for name, data in events if name == "text")
        with httpx.stream("POST", f"{service}/chat", json=BODY) as leaving:
            assert any(name == "text" for name, _ in _events(leaving.iter_lines()))
        _wait_for_cancel(emulator)
        hold.set()
        rest = list(events)
    assert text + "".join(data for name, data in rest if name == "text") == "stays here"
    assert rest[-1][0] == "done"


def test_fastapi_app_sends_errors_as_events(service: str, emulator: Emulator) -> None:
    emulator.script(Reply("one two three", error="The engine is out of memory", error_after=1))
    events = _ask(service)
    assert events[-2][0] == "text"
    assert events[-1][0] == "error"
    assert "The engine is out of memory" in events[-1][1]["message"]


def test_fastapi_app_refuses_a_question_without_messages(service: str, emulator: Emulator) -> None:
    assert httpx.post(f"{service}/chat", json={"messages": []}).status_code == 422
    assert not [frame for frame in emulator.requests if frame.message.get("endpoint") == "predict"]


def test_fastapi_app_names_the_server_when_run_as_a_program(emulator: Emulator) -> None:
    environment = {**os.environ, "LMSTUDIO_BASE_URL": emulator.url, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(COOKBOOK / "fastapi_app.py"), "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            found = (re.search(r"running on (http://[\d.:]+)", line) for line in process.stderr)
            address = next(match[1] for match in found if match)
            health = httpx.get(f"{address}/health").json()
        finally:
            process.terminate()
            process.communicate()
    assert health == {"version": "emulator", "build": 0, "loaded": ["emulator/chat"]}
