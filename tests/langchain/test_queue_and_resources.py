"""A request that waits behind others, and a load that would not fit."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.runnables import RunnableLambda

from lmstudio_integrations import Client, LMStudioResourcesError, LMStudioValueError
from lmstudio_integrations.client.transport import executor
from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.langchain import QUEUE_PROGRESS, ChatLMStudio, LMStudioEmbeddings


class OpensGate(BaseCallbackHandler):
    """Notes the queue's events and then lets the replies go on."""

    def __init__(self, gate: ThreadsafeEvent) -> None:
        self.gate = gate
        self.queued: list[dict[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        if name == QUEUE_PROGRESS:
            self.queued.append(data)
            self.gate.set()


class HearsNothing(BaseCallbackHandler):
    """A handler that custom events do not concern."""


def questions(server: Emulator) -> int:
    return sum(frame.message.get("endpoint") == "getInstanceProcessingState" for frame in server.requests)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_handler_of_custom_events_learns_that_the_request_waits(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(executor, "_FIRST_QUEUE_DELAY", 0.01)
    gate = ThreadsafeEvent()
    lmstudio_emulator.script(Reply("First", hold=gate), Reply("Second", progress=(), hold=gate, hold_after=0))
    handler = OpensGate(gate)
    chain = RunnableLambda(lambda x: x) | ChatLMStudio(model="emulator/chat", base_url=lmstudio_emulator.url)
    with Client(lmstudio_emulator.url) as client:
        stream = client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        lmstudio_emulator.wait_for_sent(lambda frame: frame.message.get("message", {}).get("type") == "fragment")
        config: Any = {"callbacks": [handler]}
        answer = chain.invoke("x", config) if way == "invoke" else await chain.ainvoke("x", config)
        stream.result()
    assert answer.content == "Second"
    assert handler.queued == [{"queued": 1, "status": "generating"}]


@pytest.mark.parametrize("per_call", [True, False])
def test_callable_learns_that_the_request_waits(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, per_call: bool
) -> None:
    monkeypatch.setattr(executor, "_FIRST_QUEUE_DELAY", 0.01)
    gate = ThreadsafeEvent()
    queued: list[int] = []
    lmstudio_emulator.script(Reply("First", hold=gate), Reply("Second", progress=(), hold=gate, hold_after=0))

    def note(count: int) -> None:
        queued.append(count)
        gate.set()

    given: Any = {"on_queue_progress": note}
    model = ChatLMStudio(model="emulator/chat", base_url=lmstudio_emulator.url, **({} if per_call else given))
    with Client(lmstudio_emulator.url) as client:
        stream = client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        lmstudio_emulator.wait_for_sent(lambda frame: frame.message.get("message", {}).get("type") == "fragment")
        assert model.invoke("x", **(given if per_call else {})).content == "Second"
        stream.result()
    assert queued == [1]


def test_queue_is_not_asked_for_if_no_handler_takes_custom_events(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_FIRST_QUEUE_DELAY", 0.0)
    gate = ThreadsafeEvent()
    lmstudio_emulator.script(Reply("Hi", progress=(), hold=gate, hold_after=0))
    chain = RunnableLambda(lambda x: x) | ChatLMStudio(model="emulator/chat", base_url=lmstudio_emulator.url)
    answers: list[Any] = []
    caller = threading.Thread(
        target=lambda: answers.append(chain.invoke("x", {"callbacks": [HearsNothing()]})), daemon=True
    )
    caller.start()
    lmstudio_emulator.wait_for(lambda frame: frame.message.get("endpoint") == "predict")
    with Client(lmstudio_emulator.url) as client:  # on the same socket, after what the first look would have asked
        client.llm.just_in_time("emulator/chat").tokenize("x")
    gate.set()
    caller.join()
    assert answers[0].content == "Hi"
    assert questions(lmstudio_emulator) == 0


def test_load_that_would_not_fit_is_refused_on_wish() -> None:
    models = (EmulatedModel("large", fits=False), EmulatedModel("large-embedding", "embedding", fits=False))
    with Emulator(models) as server:
        with pytest.raises(LMStudioResourcesError) as caught:
            ChatLMStudio(model="large", base_url=server.url, check_resources=True).invoke("x")
        assert isinstance(caught.value, ModelInvalidRequestError)
        with pytest.raises(LMStudioResourcesError):
            LMStudioEmbeddings(model="large-embedding", base_url=server.url, check_resources=True).embed_query("x")
        assert server.loaded == []
        ChatLMStudio(model="large", base_url=server.url).invoke("x")
        assert server.loaded == ["large"]


def test_device_of_lm_link_is_named_in_loads_and_requests() -> None:
    models = (EmulatedModel("far", device="attic"), EmulatedModel("far-embedding", "embedding", device="attic"))
    with Emulator(models) as server:
        answer = ChatLMStudio(model="far", base_url=server.url, device="attic").invoke("x")
        assert answer.response_metadata["model_info"]["device_identifier"] == "attic"
        LMStudioEmbeddings(model="far-embedding", base_url=server.url, device="attic").embed_query("x")
        loads = [frame.message for frame in server.requests if frame.message.get("endpoint") == "getOrLoad"]
        assert [load["creationParameter"]["deviceIdentifier"] for load in loads] == ["attic", "attic"]
        with pytest.raises(LMStudioValueError, match="device=''"):
            ChatLMStudio(model="far", base_url=server.url, device="").invoke("x")
