"""Progress by every door: callables, custom events in a run, native protocol events (``test_chat_model``), and the bar."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.langchain import LOAD_PROGRESS, PROMPT_PROGRESS, ChatLMStudio, LMStudioLLM, ProgressBar
from lmstudio_integrations.langchain import _progress as progress_module

Make = Callable[..., ChatLMStudio]
STEPS = [0.0, 0.5, 1.0]


class Seen(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.events.append((name, data))


class SeenAsync(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.events.append((name, data))


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def errors_of_the_bar_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """langchain-core only logs what a handler raises, unless the handler says otherwise."""
    monkeypatch.setattr(ProgressBar, "raise_error", True)


async def test_progress_callbacks_of_the_model_are_called_in_all_four_ways(chat: Make) -> None:
    seen: list[float] = []
    model = chat(on_prompt_progress=seen.append)
    model.invoke("x")
    list(model.stream("x"))
    await model.ainvoke("x")
    [chunk async for chunk in model.astream("x")]
    assert seen == STEPS * 4


async def test_progress_callback_of_a_call_wins_and_may_be_a_coroutine(chat: Make) -> None:
    seen: list[float] = []

    async def note(progress: float) -> None:
        seen.append(progress)

    model = chat(on_prompt_progress=lambda _: pytest.fail("the model's own was called"))
    await model.ainvoke("x", on_prompt_progress=note)
    assert seen == STEPS


def test_on_first_token_is_called_once_before_the_token(chat: Make) -> None:
    seen: list[str] = []
    stream = chat(on_first_token=lambda: seen.append("first")).stream("x")
    seen.extend(str(chunk.content) for chunk in stream)
    assert seen.count("first") == 1
    assert seen[0] == "first"


def test_on_load_progress_is_called(chat: Make) -> None:
    seen: list[float] = []
    chat(model="emulator/chat-2", on_load_progress=seen.append).invoke("x")
    assert seen[0] == 0.0
    assert seen == sorted(seen)
    assert len(seen) > 2


async def test_handlers_of_a_chain_receive_custom_events(chat: Make) -> None:
    chain = ChatPromptTemplate.from_messages([("user", "{x}")]) | chat(model="emulator/chat-2")
    seen, aseen = Seen(), SeenAsync()
    chain.invoke({"x": "y"}, config={"callbacks": [seen]})
    await chain.ainvoke({"x": "y"}, config={"callbacks": [aseen]})
    assert {name for name, _ in seen.events} == {LOAD_PROGRESS, PROMPT_PROGRESS}
    details = [data for name, data in seen.events if name == PROMPT_PROGRESS][-1]
    assert details["progress"] == 1.0
    assert details["total_tokens"] > 0
    assert details["processed_tokens"] + details["cached_tokens"] == details["total_tokens"]
    assert [data["progress"] for name, data in aseen.events if name == PROMPT_PROGRESS] == STEPS


async def test_streams_of_a_chain_dispatch_custom_events(chat: Make) -> None:
    chain = chat() | RunnableLambda(lambda message: message)
    seen, aseen = Seen(), SeenAsync()
    list(chain.stream("x", config={"callbacks": [seen]}))
    [chunk async for chunk in chain.astream("x", config={"callbacks": [aseen]})]
    assert [data["progress"] for _, data in seen.events] == STEPS
    assert [data["progress"] for _, data in aseen.events] == STEPS


async def test_astream_events_have_progress(chat: Make) -> None:
    chain = RunnableLambda(lambda x: x) | chat()
    events: list[Any] = [event async for event in chain.astream_events("x", version="v2")]
    events = [event for event in events if event["event"] == "on_custom_event"]
    assert [(event["name"], event["data"]["progress"]) for event in events] == [
        (PROMPT_PROGRESS, step) for step in STEPS
    ]


async def test_bare_call_dispatches_no_custom_event(chat: Make) -> None:
    seen = Seen()
    chat().invoke("x", config={"callbacks": [seen]})
    await chat().ainvoke("x", config={"callbacks": [seen]})
    assert seen.events == []


def test_chunks_contain_no_progress(chat: Make) -> None:
    for chunk in chat().stream("x"):
        assert "progress" not in str(chunk)


async def test_bar_shows_a_bare_call_in_all_four_ways(chat: Make) -> None:
    for way in ("invoke", "stream", "ainvoke", "astream"):
        terminal = Terminal()
        config: Any = {"callbacks": [ProgressBar(file=terminal, transient=False)]}
        model = chat()
        if way == "invoke":
            model.invoke("x", config=config)
        elif way == "stream":
            list(model.stream("x", config=config))
        elif way == "ainvoke":
            await model.ainvoke("x", config=config)
        else:
            [chunk async for chunk in model.astream("x", config=config)]
        assert "prompt tokens" in terminal.getvalue(), way
        assert "Processing the prompt: |" in terminal.getvalue(), way
        assert all(listener.done for listener in progress_module._listeners.get()), way


def test_bar_shows_loading_prompt_and_answer_in_order(chat: Make) -> None:
    terminal = Terminal()
    bar = ProgressBar(file=terminal, answering=True, transient=False)
    list(chat(model="emulator/chat-2").stream("x", config={"callbacks": [bar]}))
    shown = terminal.getvalue()
    assert shown.index("Loading emulator/chat-2") < shown.index("Processing the prompt") < shown.index("Answering")


def test_bar_ends_at_the_first_token(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(fragments=["a", "b"], progress=(0.0, 0.5)))
    bar = ProgressBar(file=Terminal())
    stream = chat().stream("x", config={"callbacks": [bar]})
    next(stream)
    assert bar._bars.showing == 0
    assert len(list(stream)) > 1


def test_bar_of_a_failed_call_is_removed(chat: Make, lmstudio_emulator: Emulator) -> None:
    bar = ProgressBar(file=Terminal())
    lmstudio_emulator.script(Reply(error="no", progress=(0.0, 0.5)))
    with pytest.raises(Exception, match="no"):
        chat().invoke("x", config={"callbacks": [bar]})
    assert bar._bars.showing == 0
    assert bar._runs == {}


def test_response_from_the_cache_leaves_no_listener_waiting(chat: Make, lmstudio_emulator: Emulator) -> None:
    model = chat(cache=InMemoryCache())
    bar = ProgressBar(file=Terminal())
    for _ in range(2):
        model.invoke("x", config={"callbacks": [bar]})
    assert len(lmstudio_emulator.predictions) == 1
    assert all(listener.done for listener in progress_module._listeners.get())


def test_bar_that_stays_is_drawn_for_its_own_run_only(chat: Make) -> None:
    terminal = Terminal()
    bar = ProgressBar(file=terminal, transient=False)
    for _ in range(2):
        chat().invoke("x", config={"callbacks": [bar]})
    assert bar._bars.showing == 0
    assert terminal.getvalue().count("100%") == 2


async def test_listeners_of_one_context_do_not_pile_up(chat: Make) -> None:
    bar = ProgressBar(file=Terminal())
    for _ in range(3):
        await chat().ainvoke("x", config={"callbacks": [bar]})
    assert len(progress_module._listeners.get()) <= 1


def test_bar_works_for_text_completion_and_batches(chat: Make, lmstudio_emulator: Emulator) -> None:
    terminal = Terminal()
    bar = ProgressBar(file=terminal)
    LMStudioLLM(model="emulator/chat", base_url=lmstudio_emulator.url).invoke("x", config={"callbacks": [bar]})
    chat().batch(["a", "b", "c"], config={"callbacks": [bar]})
    assert terminal.getvalue().count("prompt tokens") == 4


def test_bar_in_a_pipe_writes_only_the_summary(chat: Make) -> None:
    pipe = io.StringIO()
    chat().invoke("x", config={"callbacks": [ProgressBar(file=pipe)]})
    (line,) = pipe.getvalue().splitlines()
    assert "prompt tokens" in line


def test_bar_without_tqdm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"lmstudio-integrations\[progress\]"):
        ProgressBar()


async def test_custom_stream_of_a_graph_has_progress(chat: Make) -> None:
    graph = create_agent(chat(), [])
    question: Any = {"messages": [("user", "x")]}
    seen = list(graph.stream(question, stream_mode="custom"))
    aseen = [item async for item in graph.astream(question, stream_mode="custom")]
    assert [(item["type"], item["progress"]) for item in seen] == [(PROMPT_PROGRESS, step) for step in STEPS]
    assert [(item["type"], item["progress"]) for item in aseen] == [(PROMPT_PROGRESS, step) for step in STEPS]


def test_graph_without_a_custom_stream_works(chat: Make) -> None:
    question: Any = {"messages": [("user", "x")]}
    state = create_agent(chat(), []).invoke(question)
    assert state["messages"][-1].content
