"""The calls to LM Studio behind ``LMStudio``: one loop that reads an answer, blocking and awaiting.

An ``LMStudio`` holds settings and what it learnt about the model, never a socket: those belong to the client's pool,
so copies, pickles and other threads and event loops share them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import PrivateAttr

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.errors import (
    LMStudioContextOverflowError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioModelUnloadedError,
    LMStudioServerError,
)
from lmstudio_integrations.llama_index._messages import to_history
from lmstudio_integrations.llama_index.convert import with_files
from lmstudio_integrations.llama_index.facts import ModelFacts, choose_facts, facts_of, metadata_of
from lmstudio_integrations.llama_index.images import ImageData, file_part, read_image, uploads
from lmstudio_integrations.llama_index.options import CallOptions, load_config
from lmstudio_integrations.llama_index.settings import PredictionSettings

if TYPE_CHECKING:
    from lmstudio_integrations import LLM, AsyncLLM, PredictionResult
    from lmstudio_integrations.llama_index.answer import Answer

__all__ = ["Call", "ServedLLM"]

logger = logging.getLogger("lmstudio_integrations")


@dataclass(frozen=True, slots=True)
class Call:
    """What to ask: a conversation, or (``prompt``) a bare text to continue."""

    options: CallOptions
    history: PreparedHistory = field(default_factory=PreparedHistory)
    prompt: str | None = None


class ServedLLM(PredictionSettings, FunctionCallingLLM):
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
        )

    def _client(self) -> Client:
        return Client(self.base_url, api_token=self.token, timeout=self.timeout)

    def _async_client(self) -> AsyncClient:
        return AsyncClient(self.base_url, api_token=self.token, timeout=self.timeout)

    def _handle(self, client: Client, model: str | None) -> LLM:
        return client.llm.just_in_time(model, ttl=self.ttl, config=load_config(self) or None)

    def _async_handle(self, client: AsyncClient, model: str | None) -> AsyncLLM:
        return client.llm.just_in_time(model, ttl=self.ttl, config=load_config(self) or None)

    # What comes in: the same loop twice, once with `await`. All that could differ is in `Answer`.

    def _answers(self, call: Call, answer: Answer) -> Generator[Any, None, None]:
        client = self._client()
        images = [read_image(image, fetch=self.fetch_images) for image in call.history.images]
        tries = 0
        while True:
            try:
                source = self._source(call, [self._upload(client, image) for image in images])
                model = self._handle(client, call.options.model)
                if self.check_context and call.prompt is None:
                    self._check_fit(_prompt_tokens(model, source, call), model.get_context_length())
                ask = model.respond_stream if call.prompt is None else model.complete_stream
                with ask(source, **call.options.arguments) as stream:
                    if call.options.cancellation is not None:
                        call.options.cancellation.attach(stream)
                    for event in stream.events():
                        response = answer.feed(event)
                        if response is not None:
                            yield response
                    yield self._finished(answer, stream.result())
                return
            except LMStudioError as error:
                tries += 1
                if not self._try_again(error, images, tries):
                    raise

    async def _aanswers(self, call: Call, answer: Answer) -> AsyncGenerator[Any, None]:
        client = self._async_client()
        images = [await asyncio.to_thread(read_image, image, fetch=self.fetch_images) for image in call.history.images]
        tries = 0
        while True:
            try:
                source = self._source(call, [await self._aupload(client, image) for image in images])
                model = self._async_handle(client, call.options.model)
                if self.check_context and call.prompt is None:
                    self._check_fit(await _aprompt_tokens(model, source, call), await model.get_context_length())
                ask = model.respond_stream if call.prompt is None else model.complete_stream
                async with await ask(source, **call.options.arguments) as stream:
                    if call.options.cancellation is not None:
                        call.options.cancellation.attach(stream)
                    async for event in stream.events():
                        response = answer.feed(event)
                        if response is not None:
                            yield response
                    yield self._finished(answer, await stream.result())
                return
            except LMStudioError as error:
                tries += 1
                if not self._try_again(error, images, tries):
                    raise

    def _source(self, call: Call, files: list[dict[str, Any]]) -> Any:
        if call.prompt is not None:
            return call.prompt
        return with_files(call.history, files)

    def _finished(self, answer: Answer, result: PredictionResult) -> Any:
        if answer.model == self.model:
            self._facts = facts_of(result.model_info)
        return answer.finish(result)

    def _try_again(self, error: LMStudioError, images: Sequence[ImageData], tries: int) -> bool:
        """Whether to repeat a call: the failure may pass, and LM Studio had not begun to work on it."""
        if tries > self.max_retries or error.response_started:
            return False
        # An upload that LM Studio has forgotten makes the request fail; it is sent once more, with fresh uploads.
        if isinstance(error, LMStudioServerError) and uploads.forget(self._identity(), images):
            return True
        return isinstance(error, (LMStudioDisconnectedError, LMStudioModelUnloadedError))

    def _identity(self) -> tuple[str | None, str | None]:
        return self.base_url, self.token

    def _upload(self, client: Client, image: ImageData) -> dict[str, Any]:
        part = uploads.get(self._identity(), image)
        if part is None:
            part = file_part(client.files.prepare_image(image.data, image.name))
            uploads.put(self._identity(), image, part)
        return part

    async def _aupload(self, client: AsyncClient, image: ImageData) -> dict[str, Any]:
        part = uploads.get(self._identity(), image)
        if part is None:
            part = file_part(await client.files.prepare_image(image.data, image.name))
            uploads.put(self._identity(), image, part)
        return part

    @staticmethod
    def _check_fit(needed: int, available: int) -> None:
        if needed >= available:
            error = LMStudioContextOverflowError(
                f"the prompt has {needed} tokens and the context of the loaded model {available}",
                suggestion="Shorten the prompt, or load the model with a larger context_window.",
            )
            error.needed, error.available = needed, available
            raise error

    # What is known about the model

    @property
    def metadata(self) -> LLMMetadata:
        """What LM Studio says about the model; asked once, then remembered and kept up to date by every answer.

        On a running event loop nothing is waited for: until the answer has come (a thread fetches it), or where no
        server answers, the settings and LM Studio's usual values stand in. ``refresh_metadata`` and
        ``arefresh_metadata`` ask at once. Whether the model calls functions is said once and then kept to until one of
        them is called: an agent that was built on the first answer asks again at each step.
        """
        if self._facts is None and not self._facts_asked:
            self._facts_asked = True
            if _on_a_loop():
                threading.Thread(target=self._learn, name="lmstudio-metadata", daemon=True).start()
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


def _prompt_tokens(model: LLM, history: Any, call: Call) -> int:
    return model.count_tokens(model.apply_prompt_template(history, tools=call.options.arguments.get("tools")))


async def _aprompt_tokens(model: AsyncLLM, history: Any, call: Call) -> int:
    formatted = await model.apply_prompt_template(history, tools=call.options.arguments.get("tools"))
    return await model.count_tokens(formatted)
