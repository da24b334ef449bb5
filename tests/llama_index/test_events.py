"""Instrumentation, callbacks and the progress bar."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.instrumentation.events import BaseEvent

from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.errors import LMStudioError
from lmstudio_integrations.llama_index import (
    LMStudio,
    LoadProgressEvent,
    PredictionStatsEvent,
    ProgressBarEventHandler,
    PromptProgressEvent,
)
from tests.llama_index.conftest import Collected

ASK = [ChatMessage(role="user", content="Hello?")]


def start_span(events: Collected, kind: str = "Chat") -> str | None:
    (start,) = events.of(f"LLM{kind}StartEvent")
    return start.span_id


def test_prompt_progress_event_has_the_token_counts(server: Emulator, llm: LMStudio, events: Collected) -> None:
    server.script(Reply("Hi", prompt_tokens=100, cached_tokens=20, progress=(0.0, 0.5, 1.0)))
    llm.chat(ASK)
    found = [event for event in events.of("PromptProgressEvent") if isinstance(event, PromptProgressEvent)]
    assert [event.progress for event in found] == [0.0, 0.5, 1.0]
    assert all(event.cached_tokens == 20 and event.total_tokens == 100 for event in found)
    assert (found[-1].processed_tokens, found[-1].unprocessed_tokens) == (80, 0)


@pytest.mark.parametrize("method", ["chat", "stream_chat"])
def test_progress_and_stats_events_have_the_span_of_the_method(
    server: Emulator, llm: LMStudio, events: Collected, method: str
) -> None:
    server.script(Reply("Hi"))
    list(llm.stream_chat(ASK)) if method == "stream_chat" else llm.chat(ASK)
    span = start_span(events)
    assert span is not None
    assert span.startswith(f"LMStudio.{method}-")
    ours = events.of("PromptProgressEvent") + events.of("PredictionStatsEvent")
    assert len(ours) > 1
    assert {event.span_id for event in ours} == {span}


@pytest.mark.parametrize("method", ["achat", "astream_chat"])
async def test_async_methods_dispatch_the_same_events(
    server: Emulator, llm: LMStudio, events: Collected, method: str
) -> None:
    server.script(Reply("Hi"))
    outcome = await getattr(llm, method)(ASK)
    if method == "astream_chat":
        assert [response async for response in outcome]
    span = start_span(events)
    assert span is not None
    assert span.startswith(f"LMStudio.{method}-")
    ours = events.of("PromptProgressEvent") + events.of("PredictionStatsEvent")
    assert {event.span_id for event in ours} == {span}


async def test_concurrent_calls_keep_their_own_spans(server: Emulator, llm: LMStudio, events: Collected) -> None:
    await asyncio.gather(*(llm.acomplete(str(number)) for number in range(5)))
    starts = {event.span_id for event in events.of("LLMCompletionStartEvent")}
    assert len(starts) == 5
    assert {event.span_id for event in events.of("PredictionStatsEvent")} == starts


def test_load_progress_event_has_the_model(server: Emulator, events: Collected) -> None:
    server.load_progress = (0.0, 0.25, 1.0)
    LMStudio(model="emulator/chat-2", base_url=server.url).complete("Hi")
    found = [event for event in events.of("LoadProgressEvent") if isinstance(event, LoadProgressEvent)]
    assert [event.progress for event in found][-2:] == [0.25, 1.0]
    assert {event.model for event in found} == {"emulator/chat-2"}
    assert {event.span_id for event in found} == {start_span(events, "Completion")}


def test_stats_event_is_dispatched_once_at_the_end(server: Emulator, llm: LMStudio, events: Collected) -> None:
    server.script(Reply("Hi"))
    last = list(llm.stream_chat(ASK))[-1]
    (found,) = events.of("PredictionStatsEvent")
    assert isinstance(found, PredictionStatsEvent)
    assert found.usage == last.raw["usage"]
    assert found.stats == last.raw["stats"]
    assert (found.model, found.finish_reason) == ("emulator/chat", "stop")


def test_chat_dispatches_start_progress_and_end_once(server: Emulator, llm: LMStudio, events: Collected) -> None:
    server.script(Reply(fragments=["a", "b"]))
    list(llm.stream_chat(ASK))
    assert len(events.of("LLMChatStartEvent")) == len(events.of("LLMChatEndEvent")) == 1
    assert len(events.of("LLMChatInProgressEvent")) == 3


def test_complete_dispatches_a_completion_and_no_chat(server: Emulator, llm: LMStudio, events: Collected) -> None:
    llm.complete("Hi")
    assert len(events.of("LLMCompletionEndEvent")) == 1
    assert events.of("LLMChatStartEvent") == []


def test_callback_manager_receives_each_call_once(server: Emulator) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = LMStudio(model="emulator/chat", base_url=server.url, callback_manager=CallbackManager([debug]))
    llm.chat(ASK)
    list(llm.stream_complete("Hi"))
    asyncio.run(llm.achat(ASK))
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 3


async def drained(llm: LMStudio) -> None:
    assert [response async for response in await llm.astream_chat(ASK)]


@pytest.mark.parametrize("method", ["chat", "stream_chat", "astream_chat", "complete"])
def test_token_counting_handler_has_the_counts_of_the_server(server: Emulator, method: str) -> None:
    def never(text: str) -> list[int]:
        raise AssertionError("the counts are known; nothing needs to be estimated")

    counter = TokenCountingHandler(tokenizer=never)
    llm = LMStudio(model="emulator/chat", base_url=server.url, callback_manager=CallbackManager([counter]))
    server.script(Reply("one two three", prompt_tokens=1234))
    match method:
        case "chat":
            llm.chat(ASK)
        case "stream_chat":
            list(llm.stream_chat(ASK))
        case "astream_chat":
            asyncio.run(drained(llm))
        case _:
            llm.complete("Hi")
    assert counter.prompt_llm_token_count == 1234
    assert counter.completion_llm_token_count == 3 + 1  # the end of the sequence


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def sent(handler: ProgressBarEventHandler, *events: BaseEvent) -> None:
    for event in events:
        handler.handle(event)


def test_bar_shows_the_prompt_and_is_removed() -> None:
    terminal = Terminal()
    handler = ProgressBarEventHandler(terminal)
    halfway = PromptProgressEvent(
        span_id="s", progress=0.5, processed_tokens=50, total_tokens=100, cached_tokens=10, unprocessed_tokens=50
    )
    sent(handler, PromptProgressEvent(span_id="s", progress=0.0), halfway)
    assert handler._bars.showing == 1
    handler._bars.refresh()
    assert "Processing the prompt" in terminal.getvalue()
    assert "50/100 tokens, 10 cached" in terminal.getvalue()
    sent(handler, PromptProgressEvent(span_id="s", progress=1.0))
    assert handler._bars.showing == 0


def test_load_bar_ends_when_the_prompt_begins() -> None:
    terminal = Terminal()
    handler = ProgressBarEventHandler(terminal)
    sent(handler, LoadProgressEvent(span_id="s", progress=0.1, model="m"))
    handler._bars.refresh()
    assert "Loading m" in terminal.getvalue()
    sent(handler, PromptProgressEvent(span_id="s", progress=1.0))
    assert handler._bars.showing == 0


def test_calls_at_once_have_a_bar_each() -> None:
    handler = ProgressBarEventHandler(Terminal())
    sent(handler, PromptProgressEvent(span_id="a", progress=0.1), PromptProgressEvent(span_id="b", progress=0.2))
    assert handler._bars.showing == 2
    sent(handler, PredictionStatsEvent(span_id="a", finish_reason="stop", usage={}, stats={}))
    assert handler._bars.showing == 1
    sent(handler, PredictionStatsEvent(span_id="b", finish_reason="stop", usage={}, stats={}))
    assert handler._bars.showing == 0


@pytest.mark.parametrize("stream", [True, False])
def test_bar_of_a_failed_call_is_removed(server: Emulator, llm: LMStudio, stream: bool) -> None:
    from llama_index.core.instrumentation import get_dispatcher

    handler = ProgressBarEventHandler(Terminal())
    shown: list[int] = []

    class Watching(Collected):
        def handle(self, event: BaseEvent, **kwargs: object) -> None:
            shown.append(handler._bars.showing)

    root = get_dispatcher()
    watching = Watching()
    root.add_event_handler(handler)
    root.add_event_handler(watching)
    try:
        server.script(Reply("x", progress=(0.0, 0.5), error="broken"))
        with pytest.raises(LMStudioError):
            list(llm.stream_chat(ASK)) if stream else llm.chat(ASK)
    finally:
        root.event_handlers.remove(handler)
        root.event_handlers.remove(watching)
    assert max(shown) == 1
    assert handler._bars.showing == 0


def test_bar_without_tqdm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "lmstudio-integrations\[progress\]"'):
        ProgressBarEventHandler()


def test_event_can_be_dumped_as_json() -> None:
    stored: Any = PromptProgressEvent(span_id="s", progress=0.5).model_dump(mode="json")
    assert stored["class_name"] == "PromptProgressEvent"
    assert stored["progress"] == 0.5
