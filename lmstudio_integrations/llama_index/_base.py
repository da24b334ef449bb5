"""The requests of ``LMStudio``: the loop over an answer's events, blocking and awaiting, and the model's metadata.

An ``LMStudio`` has settings and cached metadata, but no connection: connections belong to the client's pool, so that
copies, pickles, threads and event loops share them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import PrivateAttr

from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.client.transport.daemon import start_thread
from lmstudio_integrations.compat.context_length import warn_of_context_length
from lmstudio_integrations.compat.prediction_request import PredictionRequest, load_options
from lmstudio_integrations.errors import LMStudioError
from lmstudio_integrations.llama_index._messages import to_history
from lmstudio_integrations.llama_index._model_metadata import ModelFacts, choose_facts, facts_of, metadata_of
from lmstudio_integrations.llama_index._request import chat_request
from lmstudio_integrations.llama_index.events import has_listener
from lmstudio_integrations.llama_index.settings import GenerationSettings

if TYPE_CHECKING:
    from lmstudio_integrations import LLM, AsyncLLM, PredictionResult
    from lmstudio_integrations.llama_index._response import ResponseReader

__all__ = ["LMStudioBase"]

logger = logging.getLogger("lmstudio_integrations")

# How long (seconds) the first use of `metadata` may block a running event loop: a query engine splits its prompts by
# its context window, and with a wrong one the query fails.
_METADATA_SECONDS = 1.0


class LMStudioBase(GenerationSettings, FunctionCallingLLM):
    """A language model whose calls go to LM Studio."""

    _facts: ModelFacts | None = PrivateAttr(default=None)
    _facts_asked: bool = PrivateAttr(default=False)
    _said_tools: bool | None = PrivateAttr(default=None)

    # Requests

    def _request(self, messages: Sequence[ChatMessage], call: Mapping[str, Any]) -> PredictionRequest:
        """Convert the messages now, so that an unsupported block raises in the call and not in its iterator."""
        return chat_request(self, call, self._history(messages))

    def _history(self, messages: Sequence[ChatMessage]) -> PreparedHistory:
        return to_history(messages, **self._history_options())

    def _handle(self) -> LLM:
        return self._client().llm.just_in_time(self.model, **load_options(self._setting))

    def _async_handle(self) -> AsyncLLM:
        return self._async_client().llm.just_in_time(self.model, **load_options(self._setting))

    # Answers: the same loop twice, once with `await`; `ResponseReader` does the rest

    def _answers(self, request: PredictionRequest, reader: ResponseReader) -> Generator[Any, None, None]:
        with request.start(self._client(), watch_queue=has_listener()) as stream:
            for event in stream.events():
                yield from reader.read(event)
            result = stream.result()
            self._learn_from(result, request)
            yield from reader.read(request.response.check(result))

    async def _aanswers(self, request: PredictionRequest, reader: ResponseReader) -> AsyncGenerator[Any, None]:
        async with await request.astart(self._async_client(), watch_queue=has_listener()) as stream:
            async for event in stream.events():
                for response in reader.read(event):
                    yield response
            result = await stream.result()
            self._learn_from(result, request)
            for response in reader.read(request.response.check(result)):
                yield response

    def _learn_from(self, result: PredictionResult, request: PredictionRequest) -> None:
        info = result.model_info
        warn_of_context_length(info.identifier, request.context_length, info.context_length)
        if request.model == self.model:
            self._facts = facts_of(info)

    # Metadata

    @property
    def metadata(self) -> LLMMetadata:
        """The model's metadata from LM Studio: requested once, cached, and updated by every answer.

        On a running event loop the first use waits for at most a second. If there is no answer by then, settings and
        defaults are used until there is. ``refresh_metadata`` and ``arefresh_metadata`` send the request again.
        ``is_function_calling_model`` does not change until one of them is called, because an agent that was built on
        the first value reads it again at each step.
        """
        if self._facts is None and not self._facts_asked:
            self._facts_asked = True
            if _on_a_loop():
                thread = start_thread(self._learn, "lmstudio-metadata")
                thread.join(_METADATA_SECONDS)
            else:
                self._learn()
        metadata = self._known_metadata()
        if self._said_tools is None or self.is_function_calling_model is not None:
            self._said_tools = metadata.is_function_calling_model
        metadata.is_function_calling_model = self._said_tools
        return metadata

    def _known_metadata(self) -> LLMMetadata:
        return metadata_of(self, self._facts or ModelFacts())

    def _learn(self) -> None:
        try:
            self._facts = self._ask_facts()
        except LMStudioError as error:
            logger.debug("the metadata of the model could not be requested: %s", error)

    def _ask_facts(self) -> ModelFacts:
        client = self._client()
        loaded = [model.get_info() for model in client.llm.list_loaded()]
        return choose_facts(self.model, loaded, client.system.list_downloaded_models())

    def refresh_metadata(self) -> LLMMetadata:
        """Request the model's metadata now. Loads nothing.

        Raises:
            LMStudioError: The request failed.
        """
        self._facts, self._said_tools = self._ask_facts(), None
        return self.metadata

    async def arefresh_metadata(self) -> LLMMetadata:
        """``refresh_metadata`` for coroutines."""
        client = self._async_client()
        loaded = [await model.get_info() for model in await client.llm.list_loaded()]
        self._facts = choose_facts(self.model, loaded, await client.system.list_downloaded_models())
        self._said_tools = None
        return self.metadata


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
