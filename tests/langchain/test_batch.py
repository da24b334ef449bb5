"""Ctrl-C in a blocking batch: LangChain waits for its pool, so the calls that have begun must be cancelled."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import pytest

from lmstudio_integrations import CancelToken
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.langchain._batch import batch_token, run_interruptibly
from lmstudio_integrations.langchain.errors import ChatLMStudioModelNotFoundError


def test_batch_returns_its_answers_in_order_on_any_thread(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(*(Reply(f"answer {number}") for number in range(3)))
    model = ChatLMStudio(model="emulator/chat", base_url=lmstudio_emulator.url)
    answers = model.batch(["a", "b", "c"], config={"max_concurrency": 1})
    assert [answer.text for answer in answers] == ["answer 0", "answer 1", "answer 2"]
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(model.batch(["a", "b"])))
    thread.start()
    thread.join()
    assert len(results) == 2
    assert model.batch([]) == []


def test_batch_raises_the_error_of_a_call(lmstudio_emulator: Emulator) -> None:
    model = ChatLMStudio(model="no/such-model", base_url=lmstudio_emulator.url)
    with pytest.raises(ValueError, match="temperature"):
        model.batch(["a", "b"], temperature="hot")
    outcomes: list[Any] = model.batch(["a", "b"], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ChatLMStudioModelNotFoundError] * 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between threads")
def test_ctrl_c_in_a_batch_cancels_the_calls_that_have_begun(lmstudio_emulator: Emulator) -> None:
    hold = ThreadsafeEvent()
    lmstudio_emulator.script(*(Reply("word " * 50, hold=hold, hold_after=2) for _ in range(2)))
    model = ChatLMStudio(model="emulator/chat", base_url=lmstudio_emulator.url)

    def interrupt() -> None:
        lmstudio_emulator.wait_until(lambda: _count(lmstudio_emulator, "predict") == 2)
        main_thread = threading.main_thread().ident
        assert main_thread is not None
        signal.pthread_kill(main_thread, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupter.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            model.batch(["a", "b", "c", "d"], config={"max_concurrency": 2})
    finally:
        signal.signal(signal.SIGINT, before)
        interrupter.join()
    lmstudio_emulator.wait_until(lambda: _cancels(lmstudio_emulator) == 2)
    assert _count(lmstudio_emulator, "predict") == 2, "calls that had not begun were sent"


def test_token_of_a_batch_is_the_callers_own_if_there_is_one() -> None:
    token = CancelToken()
    assert run_interruptibly(batch_token.get, token) is token
    assert isinstance(run_interruptibly(batch_token.get, None), CancelToken)
    assert batch_token.get() is None


def _count(server: Emulator, endpoint: str) -> int:
    return sum(frame.message.get("endpoint") == endpoint for frame in server.requests)


def _cancels(server: Emulator) -> int:
    return sum(frame.message.get("message") == {"type": "cancel"} for frame in server.requests)
