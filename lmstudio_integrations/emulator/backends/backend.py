"""The interface of a backend, and ``FakeBackend``, which answers by rules. ``llama_cpp`` has the real one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

from lmstudio_integrations.emulator.backends import chat_template, fake_embeddings, fake_tokenizer
from lmstudio_integrations.emulator.backends.prediction_request import Messages, PredictionRequest
from lmstudio_integrations.emulator.backends.reply_events import Event, Finish, Progress
from lmstudio_integrations.emulator.backends.rules import rule_reply
from lmstudio_integrations.emulator.models import Instance
from lmstudio_integrations.emulator.replies import Reply


class Backend(Protocol):
    """Tokens, templates, vectors and answers of the models."""

    async def start(self) -> None:
        """Start what the backend needs. Called before the first client connects."""

    async def stop(self) -> None:
        """Release all resources."""

    async def prompt(self, messages: Messages, tools: Sequence[Mapping[str, Any]]) -> str:
        """The history as text for the model."""

    async def tokenize(self, text: str) -> Sequence[Any]:
        """The tokens of a text, in the backend's own form; equal tokens are equal values."""

    async def token_ids(self, text: str) -> list[int]:
        """The tokens of a text as numbers."""

    async def embed(self, instance: Instance, text: str) -> list[float]:
        """The vector of a text."""

    def reply(self, request: PredictionRequest) -> Reply | None:
        """A complete reply, or ``None`` if the answer comes from ``events``."""

    def events(self, request: PredictionRequest) -> AsyncGenerator[Progress | Event | Finish]:
        """The answer as a stream."""


class FakeBackend:
    """Answers by rules, counts tokens with a small tokenizer, and embeds by the words of a text. Does no I/O."""

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def prompt(self, messages: Messages, tools: Sequence[Mapping[str, Any]]) -> str:
        return chat_template.chatml(messages, tools)

    async def tokenize(self, text: str) -> Sequence[Any]:
        return fake_tokenizer.pieces(text)

    async def token_ids(self, text: str) -> list[int]:
        return fake_tokenizer.token_ids(text)

    async def embed(self, instance: Instance, text: str) -> list[float]:
        return fake_embeddings.embedding(text, instance.model.dimensions)

    def reply(self, request: PredictionRequest) -> Reply | None:
        return rule_reply(request)

    def events(self, request: PredictionRequest) -> AsyncGenerator[Progress | Event | Finish]:
        raise NotImplementedError("FakeBackend answers with complete replies; use reply()")
