"""The standard unit suites of langchain-tests: nothing here may open a socket."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests
from syrupy.assertion import SnapshotAssertion

from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings

_ENVIRONMENT = {"LMSTUDIO_API_TOKEN": "sk-lm-abcdefgh:0123456789abcdefghij", "LMSTUDIO_BASE_URL": "ws://127.0.0.1:9"}


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection would fail the test by its own message (event loops may still make their socket pairs)."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a unit test tried to connect")

    monkeypatch.setattr(socket.socket, "connect", refuse)


class TestChatLMStudioUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLMStudio

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "emulator/chat"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return _ENVIRONMENT, {"model": "emulator/chat"}, {"api_token": _ENVIRONMENT["LMSTUDIO_API_TOKEN"]}

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @pytest.mark.xfail(reason="load() accepts no class of a third party; test_tracing.py checks the serialized form")
    def test_serdes(self, model: BaseChatModel, snapshot: SnapshotAssertion) -> None:
        super().test_serdes(model, snapshot)


class TestLMStudioEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return LMStudioEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "emulator/embedding"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return _ENVIRONMENT, {"model": "emulator/embedding"}, {"api_token": _ENVIRONMENT["LMSTUDIO_API_TOKEN"]}
