"""The standard integration suites of langchain-tests against the emulator, every feature that LM Studio has switched on."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Literal

import httpx
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

from lmstudio_integrations.client import images
from lmstudio_integrations.emulator import Emulator, PredictionRequest, Reply
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings

_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_LAST: list[Emulator] = []


def _follow_the_words(request: PredictionRequest) -> Reply | None:
    """JSON mode gives the model no schema: only a model can follow the prompt's words, so this one reply is canned."""
    structured = request.settings.structured
    if structured.get("jsonSchema") == {"type": "object"} and "'setup' and 'punchline' keys" in request.last_user_text:
        return Reply('{"setup": "Why do cats purr?", "punchline": "They are proud of it."}')
    return None


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[Emulator]:
    """One emulator for all of them: the suite's properties have no way to ask for a fixture."""
    with Emulator(replies=_follow_the_words) as server:
        _LAST.append(server)
        yield server
        _LAST.pop()


@pytest.fixture(autouse=True)
def images_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite fetches its picture from the network; here it gets a small one of the same kind."""

    def get(*_: Any, **__: Any) -> httpx.Response:
        return httpx.Response(200, content=_PNG)

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setattr(images, "_fetch", lambda url: _PNG)


class TestChatLMStudioIntegration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLMStudio

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "emulator/chat", "base_url": _LAST[0].url, "fetch_images": True}

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def returns_usage_metadata(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "emulator/chat-2"

    @property
    def supported_usage_metadata_details(
        self,
    ) -> dict[
        Literal["invoke", "stream"],
        list[Literal["audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"]],
    ]:
        return {
            "invoke": ["reasoning_output", "cache_read_input"],
            "stream": ["reasoning_output", "cache_read_input"],
        }

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        _LAST[0].script(Reply(reasoning="Six times seven is forty-two.", text="42"))
        return self._ask("How much is six times seven?", stream=stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        self._ask("The same beginning of the same long question.", stream=stream)
        return self._ask("The same beginning of the same long question.", stream=stream)

    def _ask(self, question: str, *, stream: bool) -> AIMessage:
        model = ChatLMStudio(**self.chat_model_params)
        if not stream:
            return model.invoke(question)
        first, *rest = model.stream(question)
        return first + rest


class TestLMStudioEmbeddingsIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return LMStudioEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "emulator/embedding", "base_url": _LAST[0].url}
