"""Progress in the event stream of workflows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.workflow import Context, StartEvent, StopEvent, Workflow, step
from workflows.runtime.types import results

from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.llama_index import LMStudio, LoadProgressUpdate, PromptProgressUpdate

STEPS = [0.0, 0.5, 1.0]


class Ask(Workflow):
    def __init__(self, llm: LMStudio, way: str) -> None:
        super().__init__(timeout=60)
        self.llm = llm
        self.way = way

    @step
    async def ask(self, context: Context, event: StartEvent) -> StopEvent:
        if self.way == "acomplete":
            answer = await self.llm.acomplete("Hello?")
        elif self.way == "complete":
            answer = self.llm.complete("Hello?")
        else:
            answer = await asyncio.to_thread(self.llm.complete, "Hello?")
        return StopEvent(result=answer.text)


async def progress_of(handler: Any) -> list[Any]:
    events = [event async for event in handler.stream_events()]
    await handler
    return [event for event in events if isinstance(event, PromptProgressUpdate | LoadProgressUpdate)]


@pytest.mark.parametrize("way", ["acomplete", "complete"])
async def test_workflow_streams_progress(server: Emulator, llm: LMStudio, way: str) -> None:
    server.script(Reply("Hi", prompt_tokens=100, cached_tokens=20, progress=tuple(STEPS)))
    events = await progress_of(Ask(llm, way).run())
    assert [event.progress for event in events] == STEPS
    assert events[-1].total_tokens == 100


async def test_agent_streams_progress(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("Hi", progress=tuple(STEPS)))
    events = await progress_of(FunctionAgent(tools=[], llm=llm).run("Hello?"))
    assert [event.progress for event in events] == STEPS


async def test_step_in_a_worker_thread_writes_nothing_and_works(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("Hi", progress=tuple(STEPS)))
    assert await progress_of(Ask(llm, "thread").run()) == []


async def test_load_progress_is_streamed(server: Emulator) -> None:
    llm = LMStudio(model="emulator/chat-2", base_url=server.url)
    events = await progress_of(Ask(llm, "acomplete").run())
    loads = [event.progress for event in events if isinstance(event, LoadProgressUpdate)]
    assert loads[0] == 0.0
    assert len(loads) > 1


async def test_changed_interface_of_workflows_only_ends_the_progress(
    server: Emulator, llm: LMStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Number 17: the private interface that is used here."""
    used = Ask(llm, "acomplete")
    monkeypatch.setattr(results, "InternalContextVar", object())
    server.script(Reply("Hi", progress=tuple(STEPS)))
    assert await progress_of(used.run()) == []
