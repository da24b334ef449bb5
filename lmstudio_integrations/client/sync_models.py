"""Handles to models, for blocking code: ``LLM`` and ``EmbeddingModel``."""

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
from lmstudio_integrations.client.act import act_steps, drive
from lmstudio_integrations.client.act_options import ActOptions
from lmstudio_integrations.client.chat import History
from lmstudio_integrations.client.sync_stream import PredictionStream
from lmstudio_integrations.client.sync_waiting import wait as _wait

if TYPE_CHECKING:
    from lmstudio_integrations.client.act_options import ActResult
    from lmstudio_integrations.client.history import PreparedHistory
    from lmstudio_integrations.client.long_texts import LongTexts
    from lmstudio_integrations.client.result import PredictionResult
    from lmstudio_integrations.client.schemas import AnySchema, Document, ResponseFormat, SchemaClass
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
    from lmstudio_integrations.protocol.model_calls import ProcessingState
    from lmstudio_integrations.protocol.models import ModelInstanceInfo

__all__ = ["LLM", "EmbeddingModel", "LoadProgressCallback", "Model"]

LoadProgressCallback = Callable[[float], Any]


class Model(BaseModelHandle):
    """A model of either kind."""

    @overload
    def tokenize(self, input: str) -> list[int]: ...  # type: ignore[overload-overlap]  # text is a sequence of text, too
    @overload
    def tokenize(self, input: Iterable[str]) -> list[list[int]]: ...
    def tokenize(self, input: str | Iterable[str]) -> list[int] | list[list[int]]:
        """Token ids of a text, or of each of several."""
        if isinstance(input, str):
            return _wait(self._ask(self._calls.tokenize(input)))
        return [_wait(future) for future in self._tokenize_all(input)]

    def count_tokens(self, input: str) -> int:
        """How many tokens a text has."""
        return _wait(self._ask(self._calls.count_tokens(input)))

    def get_info(self) -> ModelInstanceInfo:
        """The loaded instance: identifier, context length, abilities."""
        return _wait(self._ask(self._calls.get_info()))

    def get_context_length(self) -> int:
        """The context with which it is loaded, in tokens."""
        return self.get_info().context_length

    def get_processing_state(self) -> ProcessingState:
        """What it does now ("idle", "processingPrompt", "generating", "computingEmbedding"), and how many wait."""
        return _wait(self._ask(self._calls.get_processing_state()))

    def unload(self) -> None:
        """Unload it. A later request through this handle loads it again."""
        _wait(self._unload())


class LLM(Model):
    """A language model. It is loaded at its first use if it is not loaded yet, and addressed by its identifier."""

    def get_load_config(self) -> ReportedLlmLoadConfig:
        """How it was loaded: a dictionary under LM Studio's names, with attributes (``.context_length``)."""
        config: ReportedLlmLoadConfig = _wait(self._ask(self._calls.get_load_config()))
        return config

    @overload
    def respond(
        self, history: History | None = None, *, response_format: type[Document], **options: Unpack[PredictionOptions]
    ) -> PredictionResult[Document | str]: ...
    @overload
    def respond(
        self, history: History | None = None, *, response_format: AnySchema, **options: Unpack[PredictionOptions]
    ) -> PredictionResult[Any]: ...
    @overload
    def respond(
        self,
        history: History | None = None,
        *,
        response_format: SchemaClass | None = None,
        **options: Unpack[PredictionOptions],
    ) -> PredictionResult[dict[str, Any] | str]: ...
    @shows_options(PredictionOptions)
    def respond(
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
        ``PredictionStream``.
        """
        stream: PredictionStream[Any]
        stream = self._start(PredictionStream, history, options, response_format, raw=False)
        with stream:
            return stream.result()

    @overload
    def respond_stream(
        self, history: History | None = None, *, response_format: type[Document], **options: Unpack[PredictionOptions]
    ) -> PredictionStream[Document | str]: ...
    @overload
    def respond_stream(
        self, history: History | None = None, *, response_format: AnySchema, **options: Unpack[PredictionOptions]
    ) -> PredictionStream[Any]: ...
    @overload
    def respond_stream(
        self,
        history: History | None = None,
        *,
        response_format: SchemaClass | None = None,
        **options: Unpack[PredictionOptions],
    ) -> PredictionStream[dict[str, Any] | str]: ...
    @shows_options(PredictionOptions)
    def respond_stream(
        self,
        history: History | None = None,
        *,
        response_format: ResponseFormat | None = None,
        **options: Unpack[PredictionOptions],
    ) -> PredictionStream[Any]:
        """The same as a stream. Returns at once; connecting, loading and their errors come with the first read."""
        return self._start(PredictionStream, history, options, response_format, raw=False)

    @overload
    def complete(
        self, prompt: str, *, response_format: type[Document], **options: Unpack[CompletionOptions]
    ) -> PredictionResult[Document | str]: ...
    @overload
    def complete(
        self, prompt: str, *, response_format: AnySchema, **options: Unpack[CompletionOptions]
    ) -> PredictionResult[Any]: ...
    @overload
    def complete(
        self, prompt: str, *, response_format: SchemaClass | None = None, **options: Unpack[CompletionOptions]
    ) -> PredictionResult[dict[str, Any] | str]: ...
    @shows_options(CompletionOptions)
    def complete(
        self, prompt: str, *, response_format: ResponseFormat | None = None, **options: Unpack[CompletionOptions]
    ) -> PredictionResult[Any]:
        """Continue a text without a chat template."""
        stream: PredictionStream[Any]
        stream = self._start(PredictionStream, prompt, options, response_format, raw=True)
        with stream:
            return stream.result()

    @overload
    def complete_stream(
        self, prompt: str, *, response_format: type[Document], **options: Unpack[CompletionOptions]
    ) -> PredictionStream[Document | str]: ...
    @overload
    def complete_stream(
        self, prompt: str, *, response_format: AnySchema, **options: Unpack[CompletionOptions]
    ) -> PredictionStream[Any]: ...
    @overload
    def complete_stream(
        self, prompt: str, *, response_format: SchemaClass | None = None, **options: Unpack[CompletionOptions]
    ) -> PredictionStream[dict[str, Any] | str]: ...
    @shows_options(CompletionOptions)
    def complete_stream(
        self, prompt: str, *, response_format: ResponseFormat | None = None, **options: Unpack[CompletionOptions]
    ) -> PredictionStream[Any]:
        """The same as a stream."""
        return self._start(PredictionStream, prompt, options, response_format, raw=True)

    @shows_options(ActOptions, max_parallel_tool_calls=1)
    def act(self, chat: History, tools: Iterable[ToolInput], **options: Unpack[ActOptions]) -> ActResult:
        """Answer a chat, running the tools that the model calls, until it answers without a tool call.

        ::

            model.act("What is 2 + 3?", [add], max_prediction_rounds=5, on_message=chat.append)

        ``chat`` is what ``respond`` takes, and is not changed. ``tools``: functions with type hints, mappings with an
        ``"implementation"``, ``ToolFunctionDef`` objects, tools of LangChain or LlamaIndex. They run on threads of
        their own. For ``options`` see ``ActOptions``.

        Raises:
            LMStudioValueError: A tool, the chat or an option cannot be used.
            LMStudioToolCallError: The model called a tool in the last round, or wrote calls that cannot be parsed.
            LMStudioCancelledError: Cancelled between predictions or while tools ran.
            LMStudioTimeoutError: A time limit expired.
        """
        steps = act_steps(chat, tools, self._act_settings(options), blocking=True)
        return drive(steps, self._respond_round)

    def _respond_round(self, history: PreparedHistory, options: Mapping[str, Any]) -> PredictionResult:
        return self.respond(history, **options)

    def apply_prompt_template(
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
        return _wait(self._ask(call))

    def get_base_prediction_config(
        self, *, ignore_server_session_config: bool | None = None
    ) -> ReportedPredictionConfig:
        """The settings of a prediction that sets none itself: a dictionary under LM Studio's names, with attributes."""
        return _wait(self._ask(self._calls.get_base_prediction_config(ignore_server_session_config)))

    def preload_draft_model(self, draft_model_key: str) -> None:
        """Load the draft model of later predictions (``draft_model=``) now, so that the first need not wait for it."""
        _wait(self._ask(self._calls.preload_draft_model(draft_model_key)))


class EmbeddingModel(Model):
    """An embedding model. It is loaded when first needed, if it is not there."""

    def get_load_config(self) -> ReportedEmbeddingLoadConfig:
        """How it was loaded: a dictionary under LM Studio's names, with attributes (``.context_length``)."""
        config: ReportedEmbeddingLoadConfig = _wait(self._ask(self._calls.get_load_config()))
        return config

    @overload
    def embed(self, input: str, *, long_texts: LongTexts = ...) -> list[float]: ...  # type: ignore[overload-overlap]  # as above
    @overload
    def embed(self, input: Iterable[str], *, long_texts: LongTexts = ...) -> list[list[float]]: ...
    def embed(self, input: str | Iterable[str], *, long_texts: LongTexts = "error") -> list[float] | list[list[float]]:
        """The embedding of a text, or of each of several in their order, some of them at once.

        ``long_texts``: a text that has more tokens than the model's context is an error that names its number
        ("error"), or is embedded in parts whose vectors are averaged ("split"), or is sent as it is ("unchecked": LM
        Studio then embeds its beginning). Only texts of more than 254 bytes cost further requests for it.
        """
        if isinstance(input, str):
            return requests.read_embeddings(_wait(self._embed([input], long_texts)))[0]
        return requests.read_embeddings(_wait(self._embed(input, long_texts)))
