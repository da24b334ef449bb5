"""The calls to LM Studio behind ``LMStudio``: one loop that reads an answer, blocking and awaiting.

An ``LMStudio`` holds settings and what it learnt about the model, never a socket: those belong to the client's pool,
so copies, pickles and other threads and event loops share them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import PrivateAttr

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.compat.context_length import warn_of_context_length
from lmstudio_integrations.errors import LMStudioError
from lmstudio_integrations.llama_index._messages import to_history
from lmstudio_integrations.llama_index._model_metadata import ModelFacts, choose_facts, facts_of, metadata_of
from lmstudio_integrations.llama_index._request import Call, CallOptions, load_options
from lmstudio_integrations.llama_index.events import has_listener
from lmstudio_integrations.llama_index.settings import PredictionSettings

if TYPE_CHECKING:
    from lmstudio_integrations import LLM, AsyncLLM, PredictionResult
    from lmstudio_integrations.llama_index._response import ResponseReader

__all__ = ["LMStudioBase"]

logger = logging.getLogger("lmstudio_integrations")

# How long (seconds) the first look at `metadata` may block a running event loop: a query engine splits its prompts by
# the context window that it finds there, and a wrong one makes the query fail.
_METADATA_SECONDS = 1.0


class LMStudioBase(PredictionSettings, FunctionCallingLLM):
    """A language model whose calls go to LM Studio."""

    _facts: ModelFacts | None = PrivateAttr(default=None)
    _facts_asked: bool = PrivateAttr(default=False)
    _said_tools: bool | None = PrivateAttr(default=None)

    # What goes out

    def _call_for(self, messages: Sequence[ChatMessage], options: CallOptions) -> Call:
        """The messages are converted before anything is sent, so that an unsupported block raises at the call."""
        return Call(options=options, history=self._history(messages))

    def _history(self, messages: Sequence[ChatMessage]) -> PreparedHistory:
        return to_history(
            messages,
            send_reasoning=self.send_reasoning,
            merge_messages=self.merge_messages,
            message_names=self.message_names,
            fetch_images=self.fetch_images,
        )

    def _client(self) -> Client:
        return Client(self.base_url, api_token=self.token, timeout=self.timeout, max_retries=self.max_retries)

    def _async_client(self) -> AsyncClient:
        return AsyncClient(self.base_url, api_token=self.token, timeout=self.timeout, max_retries=self.max_retries)

    def _handle(self) -> LLM:
        return self._client().llm.just_in_time(self.model, **load_options(self))

    def _async_handle(self) -> AsyncLLM:
        return self._async_client().llm.just_in_time(self.model, **load_options(self))

    # What comes in: the same loop twice, once with `await`. All that could differ is in `ResponseReader`.

    def _answers(self, call: Call, reader: ResponseReader) -> Generator[Any, None, None]:
        model = self._client().llm.just_in_time(call.options.model, **call.options.load)
        ask = model.respond_stream if call.prompt is None else model.complete_stream
        with ask(call.subject, **self._arguments(call)) as stream:
            for event in stream.events():
                yield from reader.read(event)
            yield from reader.read(self._learn_from(stream.result(), call.options))

    async def _aanswers(self, call: Call, reader: ResponseReader) -> AsyncGenerator[Any, None]:
        model = self._async_client().llm.just_in_time(call.options.model, **call.options.load)
        ask = model.respond_stream if call.prompt is None else model.complete_stream
        async with await ask(call.subject, **self._arguments(call)) as stream:
            async for event in stream.events():
                for response in reader.read(event):
                    yield response
            for response in reader.read(self._learn_from(await stream.result(), call.options)):
                yield response

    def _arguments(self, call: Call) -> dict[str, Any]:
        """The keywords of ``respond_stream`` or ``complete_stream``."""
        watch = {"watch_queue": has_listener()}
        if call.prompt is not None:
            return call.options.arguments | watch
        limits = {"check_context": self.check_context, "fetch_images": self.fetch_images}
        return call.options.arguments | limits | watch

    def _learn_from(self, result: PredictionResult, options: CallOptions) -> PredictionResult:
        info = result.model_info
        warn_of_context_length(info.identifier, options.context_window, info.context_length)
        if options.model == self.model:
            self._facts = facts_of(info)
        return result

    # What is known about the model

    @property
    def metadata(self) -> LLMMetadata:
        """What LM Studio says about the model; asked once, then remembered and kept up to date by every answer.

        On a running event loop the first look waits for at most a second. If no answer has come by then, the settings
        and LM Studio's usual values stand in until it has. ``refresh_metadata`` and
        ``arefresh_metadata`` ask at once. Whether the model calls functions is said once and then kept to until one of
        them is called: an agent that was built on the first answer asks again at each step.
        """
        if self._facts is None and not self._facts_asked:
            self._facts_asked = True
            if _on_a_loop():
                thread = threading.Thread(target=self._learn, name="lmstudio-metadata", daemon=True)
                thread.start()
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
            logger.debug("LM Studio could not be asked about the model: %s", error)

    def _ask_facts(self) -> ModelFacts:
        client = self._client()
        loaded = [model.get_info() for model in client.llm.list_loaded()]
        return choose_facts(self.model, loaded, client.system.list_downloaded_models())

    def refresh_metadata(self) -> LLMMetadata:
        """Ask LM Studio about the model now. Loads nothing.

        Raises:
            LMStudioError: The server does not answer.
        """
        self._facts, self._said_tools = self._ask_facts(), None
        return self.metadata

    async def arefresh_metadata(self) -> LLMMetadata:
        """``refresh_metadata`` without blocking."""
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
