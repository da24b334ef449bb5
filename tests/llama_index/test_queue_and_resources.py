"""A request that waits behind others, and a load that would not fit."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from pydantic import PrivateAttr

from lmstudio_integrations import Client, LMStudioResourcesError
from lmstudio_integrations.client.transport import executor
from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding, QueueProgressEvent

ASK = [ChatMessage(role="user", content="Hello?")]


class OpensGate(BaseEventHandler):
    """Notes the queue's events and then lets the replies go on."""

    _gate: ThreadsafeEvent = PrivateAttr()
    _queued: list[QueueProgressEvent] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "OpensGate"

    def handle(self, event: BaseEvent, **kwargs: object) -> None:
        if isinstance(event, QueueProgressEvent):
            self._queued.append(event)
            self._gate.set()


@pytest.mark.parametrize("way", ["chat", "achat"])
async def test_event_handler_learns_that_the_request_waits(
    server: Emulator, llm: LMStudio, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(executor, "_FIRST_QUEUE_DELAY", 0.01)
    gate, handler = ThreadsafeEvent(), OpensGate()
    handler._gate = gate
    server.script(Reply("First", hold=gate), Reply("Second", progress=(), hold=gate, hold_after=0))
    get_dispatcher().add_event_handler(handler)
    try:
        with Client(server.url) as client:
            stream = client.llm.just_in_time("emulator/chat").respond_stream("Hi")
            server.wait_for_sent(lambda frame: frame.message.get("message", {}).get("type") == "fragment")
            answer = llm.chat(ASK) if way == "chat" else await llm.achat(ASK)
            stream.result()
    finally:
        get_dispatcher().event_handlers.remove(handler)
    assert answer.message.content == "Second"
    assert [(event.queued, event.status) for event in handler._queued] == [(1, "generating")]
    assert str(handler._queued[0].span_id).startswith(f"LMStudio.{way}-")


def test_queue_is_not_asked_for_without_a_handler(
    server: Emulator, llm: LMStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_FIRST_QUEUE_DELAY", 0.0)
    gate = ThreadsafeEvent()
    server.script(Reply("Hi", progress=(), hold=gate, hold_after=0))
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(llm.chat(ASK)), daemon=True)
    caller.start()
    server.wait_for(lambda frame: frame.message.get("endpoint") == "predict")
    with Client(server.url) as client:  # on the same socket, after what the first look would have asked
        client.llm.just_in_time("emulator/chat").tokenize("x")
    gate.set()
    caller.join()
    assert answers[0].message.content == "Hi"
    assert not any(frame.message.get("endpoint") == "getInstanceProcessingState" for frame in server.requests)


def test_load_that_would_not_fit_is_refused_on_wish() -> None:
    models = (EmulatedModel("large", fits=False), EmulatedModel("large-embedding", "embedding", fits=False))
    with Emulator(models) as server:
        with pytest.raises(LMStudioResourcesError):
            LMStudio(model="large", base_url=server.url, check_resources=True).chat(ASK)
        embedding = LMStudioEmbedding(model_name="large-embedding", base_url=server.url, check_resources=True)
        with pytest.raises(LMStudioResourcesError):
            embedding.get_text_embedding("x")
        assert server.loaded == []
        LMStudio(model="large", base_url=server.url).chat(ASK)
        assert server.loaded == ["large"]


def test_device_of_lm_link_is_named_in_loads_and_requests() -> None:
    models = (EmulatedModel("far", device="attic"), EmulatedModel("far-embedding", "embedding", device="attic"))
    with Emulator(models) as server:
        LMStudio(model="far", base_url=server.url, device="attic").chat(ASK)
        LMStudioEmbedding(model_name="far-embedding", base_url=server.url, device="attic").get_text_embedding("x")
        loads = [frame.message for frame in server.requests if frame.message.get("endpoint") == "getOrLoad"]
        assert [load["creationParameter"]["deviceIdentifier"] for load in loads] == ["attic", "attic"]
        (prediction,) = (frame.message for frame in server.requests if frame.message.get("endpoint") == "predict")
        assert prediction["creationParameter"]["modelSpecifier"]["query"]["deviceIdentifier"] == "attic"
