"""One emulator for each test, and models that talk to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import llama_index.core
import pytest
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from pydantic import PrivateAttr

from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding


@pytest.fixture(scope="session", autouse=True)
def _nltk_data_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """LlamaIndex's sentence splitter reads NLTK data, and NLTK refuses files with several hard links, as uv makes them."""
    data = tmp_path_factory.mktemp("nltk") / "data"
    shutil.copytree(Path(llama_index.core.__file__).parent / "_static" / "nltk_cache", data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NLTK_DATA", str(data))
        yield


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def llm(server: Emulator) -> LMStudio:
    return LMStudio(model="emulator/chat", base_url=server.url)


@pytest.fixture
def embed_model(server: Emulator) -> LMStudioEmbedding:
    return LMStudioEmbedding(model_name="emulator/embedding", base_url=server.url)


class Collected(BaseEventHandler):
    """Keeps every instrumentation event."""

    _events: list[BaseEvent] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Collected"

    def handle(self, event: BaseEvent, **kwargs: object) -> None:
        self._events.append(event)

    def of(self, name: str) -> list[BaseEvent]:
        return [event for event in self._events if event.class_name() == name]


@pytest.fixture
def events() -> Iterator[Collected]:
    root = get_dispatcher()
    collected = Collected()
    root.add_event_handler(collected)
    yield collected
    root.event_handlers.remove(collected)
