"""Handles to models, for awaiting code: ``AsyncLLM`` and ``AsyncEmbeddingModel``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload

from lmstudio_integrations.client import requests
from lmstudio_integrations.client._base import (
    BaseModelHandle,
    CompletionOptions,
    PredictionOptions,
    shows_options,
)
from lmstudio_integrations.client.act import act_steps, drive_async
from lmstudio_integrations.client.aio_stream import AsyncPredictionStream
from lmstudio_integrations.client.aio_waiting import wait as _wait
from lmstudio_integrations.client.chat import History
from lmstudio_integrations.client.prediction import Fragment

if TYPE_CHECKING:
    from lmstudio_integrations.client.act import ActResult, InvalidToolRequestHandler, PredictionRoundResult
    from lmstudio_integrations.client.cancellation import CancelToken
    from lmstudio_integrations.client.history import PreparedHistory
    from lmstudio_integrations.client.long_texts import LongTexts
    from lmstudio_integrations.client.result import PredictionResult
    from lmstudio_integrations.client.schemas import AnySchema, Document, ResponseFormat, SchemaClass
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.client.tool_functions import ToolInput
    from lmstudio_integrations.protocol.config import LlmPredictionConfig
    from lmstudio_integrations.protocol.config_dicts import (
        LlmPredictionConfigDict,
    )
    from lmstudio_integrations.protocol.config_reported import (
        ReportedEmbeddingLoadConfig,
        ReportedLlmLoadConfig,
        ReportedPredictionConfig,
    )
    from lmstudio_integrations.protocol.history import AssistantMessage, ToolMessage, UserMessage
    from lmstudio_integrations.protocol.model_calls import ProcessingState
    from lmstudio_integrations.protocol.models import ModelInstanceInfo

__all__ = ["AsyncEmbeddingModel", "AsyncLLM", "AsyncModel", "LoadProgressCallback"]

LoadProgressCallback = Callable[[float], Any]


class AsyncModel(BaseModelHandle):
    """A model of either kind."""

    @overload
    async def tokenize(self, input: str) -> list[int]: ...  # type: ignore[overload-overlap]  # text is a sequence of text, too
    @overload
    async def tokenize(self, input: Iterable[str]) -> list[list[int]]: ...
    async def tokenize(self, input: str | Iterable[str]) -> list[int] | list[list[int]]:
        """Token ids of a text, or of each of several."""
        if isinstance(input, str):
            return await _wait(self._ask(self._calls.tokenize(input)))
        return [await _wait(future) for future in self._tokenize_all(input)]

    async def count_tokens(self, input: str) -> int:
        """How many tokens a text has."""
        return await _wait(self._ask(self._calls.count_tokens(input)))

    async def get_info(self) -> ModelInstanceInfo:
        """The loaded instance: identifier, context length, abilities."""
        return await _wait(self._ask(self._calls.get_info()))

    async def get_context_length(self) -> int:
        """The context with which it is loaded, in tokens."""
        return (await self.get_info()).context_length

    async def get_processing_state(self) -> ProcessingState:
        """What it does now ("idle", "processingPrompt", "generating", "computingEmbedding"), and how many wait."""
        return await _wait(self._ask(self._calls.get_processing_state()))

    async def unload(self) -> None:
        """Unload it. A later request through this handle loads it again."""
        await _wait(self._unload())


class AsyncLLM(AsyncModel):
    """A language model. It is loaded at its first use if it is not loaded yet, and addressed by its identifier."""

    async def get_load_config(self) -> ReportedLlmLoadConfig:
        """How it was loaded: a dictionary under LM Studio's names, with attributes (``.context_length``)."""
        config: ReportedLlmLoadConfig = await _wait(self._ask(self._calls.get_load_config()))
        return config

    @overload
    async def respond(
        self, history: History | None = None, *, response_format: type[Document], **options: Unpack[PredictionOptions]
    ) -> PredictionResult[Document | str]: ...
    @overload
    async def respond(
        self, history: History | None = None, *, response_format: AnySchema, **options: Unpack[PredictionOptions]
    ) -> PredictionResult[Any]: ...
    @overload
    async def respond(
        self,
        history: History | None = None,
        *,
        response_format: SchemaClass | None = None,
        **options: Unpack[PredictionOptions],
    ) -> PredictionResult[dict[str, Any] | str]: ...
    @shows_options(PredictionOptions)
    async def respond(
        self,
        history: History | None = None,
        *,
        response_format: ResponseFormat | None = None,
        **options: Unpack[PredictionOptions],
    ) -> PredictionResult[Any]:
        """Answer a chat: text, a JSON history, a list of messages or a ``Chat``.

        ``response_format``: a ``TypedDict``, a pydantic class, a JSON schema, or LM Studio's own form of one. The
        result's ``parsed`` is a ``TypedDict``'s dictionary or, of a pydantic class, a ``dict[str, Any]``; an incomplete
        document is text, hence ``| str``. ``result.parsed_as(Book)`` is an object of a class. For ``options`` see
        ``PredictionOptions``. Raises ``LMStudioValueError`` for what LM Studio would refuse, else the errors of
        ``AsyncPredictionStream``.
        """
        stream: AsyncPredictionStream[Any] = self._start(
            AsyncPredictionStream, history, options, response_format, raw=False
        )
        async with stream:
            return await stream.result()

    @overload
    async def respond_stream(
        self, history: History | None = None, *, response_format: type[Document], **options: Unpack[PredictionOptions]
    ) -> AsyncPredictionStream[Document | str]: ...
    @overload
    async def respond_stream(
        self, history: History | None = None, *, response_format: AnySchema, **options: Unpack[PredictionOptions]
    ) -> AsyncPredictionStream[Any]: ...
    @overload
    async def respond_stream(
        self,
        history: History | None = None,
        *,
        response_format: SchemaClass | None = None,
        **options: Unpack[PredictionOptions],
    ) -> AsyncPredictionStream[dict[str, Any] | str]: ...
    @shows_options(PredictionOptions)
    async def respond_stream(
        self,
        history: History | None = None,
        *,
        response_format: ResponseFormat | None = None,
        **options: Unpack[PredictionOptions],
    ) -> AsyncPredictionStream[Any]:
        """The same as a stream. Returns at once; connecting, loading and their errors come with the first read."""
        return self._start(AsyncPredictionStream, history, options, response_format, raw=False)

    @overload
    async def complete(
        self, prompt: str, *, response_format: type[Document], **options: Unpack[CompletionOptions]
    ) -> PredictionResult[Document | str]: ...
    @overload
    async def complete(
        self, prompt: str, *, response_format: AnySchema, **options: Unpack[CompletionOptions]
    ) -> PredictionResult[Any]: ...
    @overload
    async def complete(
        self, prompt: str, *, response_format: SchemaClass | None = None, **options: Unpack[CompletionOptions]
    ) -> PredictionResult[dict[str, Any] | str]: ...
    @shows_options(CompletionOptions)
    async def complete(
        self, prompt: str, *, response_format: ResponseFormat | None = None, **options: Unpack[CompletionOptions]
    ) -> PredictionResult[Any]:
        """Continue a text without a chat template."""
        stream: AsyncPredictionStream[Any] = self._start(
            AsyncPredictionStream, prompt, options, response_format, raw=True
        )
        async with stream:
            return await stream.result()

    @overload
    async def complete_stream(
        self, prompt: str, *, response_format: type[Document], **options: Unpack[CompletionOptions]
    ) -> AsyncPredictionStream[Document | str]: ...
    @overload
    async def complete_stream(
        self, prompt: str, *, response_format: AnySchema, **options: Unpack[CompletionOptions]
    ) -> AsyncPredictionStream[Any]: ...
    @overload
    async def complete_stream(
        self, prompt: str, *, response_format: SchemaClass | None = None, **options: Unpack[CompletionOptions]
    ) -> AsyncPredictionStream[dict[str, Any] | str]: ...
    @shows_options(CompletionOptions)
    async def complete_stream(
        self, prompt: str, *, response_format: ResponseFormat | None = None, **options: Unpack[CompletionOptions]
    ) -> AsyncPredictionStream[Any]:
        """The same as a stream."""
        return self._start(AsyncPredictionStream, prompt, options, response_format, raw=True)

    async def act(
        self,
        chat: History,
        tools: Iterable[ToolInput],
        *,
        max_prediction_rounds: int | None = None,
        max_parallel_tool_calls: int | None = 1,
        config: LlmPredictionConfig | LlmPredictionConfigDict | None = None,
        preset: str | None = None,
        on_message: Callable[[AssistantMessage | ToolMessage | UserMessage], object] | None = None,
        on_first_token: Callable[[int], object] | None = None,
        on_prediction_fragment: Callable[[Fragment, int], object] | None = None,
        on_round_start: Callable[[int], object] | None = None,
        on_round_end: Callable[[int], object] | None = None,
        on_prediction_completed: Callable[[PredictionRoundResult], object] | None = None,
        on_prompt_processing_progress: Callable[[float, int], object] | None = None,
        on_load_progress: Callable[[float], object] | None = None,
        handle_invalid_tool_request: InvalidToolRequestHandler | None = None,
        draft_model: str | None = None,
        parallel_tool_calls: bool | None = None,
        check_context: bool = False,
        fetch_images: bool = False,
        timeout: float | Timeout | Mapping[str, float | None] | None = None,  # noqa: ASYNC109  # limits of stages
        max_retries: int | None = None,
        cancel: CancelToken | None = None,
    ) -> ActResult:
        """Answer a chat, running the tools that the model calls, until it answers without a tool call.

        Args:
            chat: What ``respond`` takes. It is not changed: ``on_message=chat.append`` adds the new messages to it.
            tools: Functions with type hints, ``ToolFunctionDef`` objects, mappings with an ``"implementation"``, tools
                of LangChain or LlamaIndex. Coroutine functions run in this loop, other tools on threads
                of their own.
            max_prediction_rounds: The most predictions; the last one must answer without tools. ``None``: no limit.
            max_parallel_tool_calls: How many tools of one round run at once. ``None``: by the number of processors.
            config: Settings of every prediction, as in ``respond``.
            preset: The name of a preset.
            on_message: Gets each ``AssistantMessage``, and a ``ToolMessage`` with the results of each round; images of
                tools follow in a ``UserMessage``.
            on_first_token: Gets the round's index, before the round's first fragment or tool call.
            on_prediction_fragment: Gets each ``Fragment`` and the round's index.
            on_round_start: Gets the round's index, before its prediction.
            on_round_end: Gets the round's index, after its tools.
            on_prediction_completed: Gets the round's result, before its tools run.
            on_prompt_processing_progress: Gets the progress (0.0 to 1.0) and the round's index.
            on_load_progress: Gets the progress (0.0 to 1.0) while the model is loaded.
            handle_invalid_tool_request: Gets an ``LMStudioToolCallError`` and the call: for a tool that does not exist
                or raised an exception, or arguments that do not fit. Returns the text for the model or ``None`` (the
                error's own text); an exception that it raises ends ``act``. Without it, the model gets the error.
            draft_model: Key of the model for speculative decoding.
            parallel_tool_calls: ``False`` keeps the first tool call of each round.
            check_context: Count the tokens of each prompt first.
            fetch_images: Whether this process may fetch images that the chat names by an http(s) address.
            timeout: Seconds or a ``Timeout``; ``total`` bounds all rounds and tools together.
            max_retries: How often each round's request may be sent again.
            cancel: A ``CancelToken``. A prediction under way ends, and ``act`` with it; a tool under way is abandoned.

        Raises:
            LMStudioValueError: A tool, the chat or an option cannot be used.
            LMStudioCancelledError: Cancelled between predictions or while tools ran.
            LMStudioTimeoutError: A time limit expired.
        """
        options = self._act_options(
            max_prediction_rounds=max_prediction_rounds,
            max_parallel_tool_calls=max_parallel_tool_calls,
            config=config,
            preset=preset,
            on_message=on_message,
            on_first_token=on_first_token,
            on_prediction_fragment=on_prediction_fragment,
            on_round_start=on_round_start,
            on_round_end=on_round_end,
            on_prediction_completed=on_prediction_completed,
            on_prompt_processing_progress=on_prompt_processing_progress,
            on_load_progress=on_load_progress,
            handle_invalid_tool_request=handle_invalid_tool_request,
            draft_model=draft_model,
            parallel_tool_calls=parallel_tool_calls,
            check_context=check_context,
            fetch_images=fetch_images,
            timeout=timeout,
            max_retries=max_retries,
            cancel=cancel,
        )
        return await drive_async(act_steps(chat, tools, options, blocking=False), self._respond_round)

    async def _respond_round(self, history: PreparedHistory, options: Mapping[str, Any]) -> PredictionResult:
        result: PredictionResult[Any] = await self.respond(history, **options)
        return result

    async def apply_prompt_template(
        self,
        history: History,
        opts: Mapping[str, object] | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        config: LlmPredictionConfig | LlmPredictionConfigDict | None = None,
        omit_bos_token: bool | None = None,
        omit_eos_token: bool | None = None,
    ) -> str:
        """The chat as the model would see it, tools included.

        ``opts`` holds the same options under LM Studio's names: ``omitBosToken``, ``omitEosToken``,
        ``toolDefinitions``.
        """
        call = self._template(history, opts, tools, config, omit_bos_token, omit_eos_token)
        return await _wait(self._ask(call))

    async def get_base_prediction_config(
        self, *, ignore_server_session_config: bool | None = None
    ) -> ReportedPredictionConfig:
        """The settings of a prediction that sets none itself: a dictionary under LM Studio's names, with attributes."""
        return await _wait(self._ask(self._calls.get_base_prediction_config(ignore_server_session_config)))

    async def preload_draft_model(self, draft_model_key: str) -> None:
        """Load the draft model of later predictions (``draft_model=``) now, so that the first need not wait for it."""
        await _wait(self._ask(self._calls.preload_draft_model(draft_model_key)))


class AsyncEmbeddingModel(AsyncModel):
    """An embedding model. It is loaded when first needed, if it is not there."""

    async def get_load_config(self) -> ReportedEmbeddingLoadConfig:
        """How it was loaded: a dictionary under LM Studio's names, with attributes (``.context_length``)."""
        config: ReportedEmbeddingLoadConfig = await _wait(self._ask(self._calls.get_load_config()))
        return config

    @overload
    async def embed(self, input: str, *, long_texts: LongTexts = ...) -> list[float]: ...  # type: ignore[overload-overlap]  # as above
    @overload
    async def embed(self, input: Iterable[str], *, long_texts: LongTexts = ...) -> list[list[float]]: ...
    async def embed(
        self, input: str | Iterable[str], *, long_texts: LongTexts = "error"
    ) -> list[float] | list[list[float]]:
        """The embedding of a text, or of each of several in their order, some of them at once.

        ``long_texts``: a text that has more tokens than the model's context is an error that names its number
        ("error"), or is embedded in parts whose vectors are averaged ("split"), or is sent as it is ("unchecked": LM
        Studio then embeds its beginning). Only texts of more than 254 bytes cost further requests for it.
        """
        if isinstance(input, str):
            return requests.read_embeddings(await _wait(self._embed([input], long_texts)))[0]
        return requests.read_embeddings(await _wait(self._embed(input, long_texts)))
