"""Handles to models, for ``async`` code: ``AsyncLLM`` and ``AsyncEmbeddingModel``.

``tools/generate_sync.py`` derives the blocking handles, ``sync_models.py``, from this file.
"""

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
from lmstudio_integrations.client.act_options import ActOptions
from lmstudio_integrations.client.aio_stream import AsyncPredictionStream
from lmstudio_integrations.client.aio_waiting import follow, wait
from lmstudio_integrations.client.callbacks import load_calls
from lmstudio_integrations.client.chat import History

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

__all__ = ["AsyncEmbeddingModel", "AsyncLLM", "AsyncModel", "LoadProgressCallback"]

LoadProgressCallback = Callable[[float], Any]


class AsyncModel(BaseModelHandle):
    """What language models and embedding models have in common."""

    @overload
    async def tokenize(self, input: str) -> list[int]: ...  # type: ignore[overload-overlap]  # text is a sequence of text, too
    @overload
    async def tokenize(self, input: Iterable[str]) -> list[list[int]]: ...
    async def tokenize(self, input: str | Iterable[str]) -> list[int] | list[list[int]]:
        """Token ids of a text, or of each of several."""
        if isinstance(input, str):
            return await wait(self._ask(self._calls.tokenize(input)))
        return [await wait(future) for future in self._tokenize_all(input)]

    async def count_tokens(self, input: str) -> int:
        """How many tokens a text has."""
        return await wait(self._ask(self._calls.count_tokens(input)))

    async def get_info(self) -> ModelInstanceInfo:
        """The loaded instance: identifier, context length, abilities."""
        return await wait(self._ask(self._calls.get_info()))

    async def get_context_length(self) -> int:
        """The context with which it is loaded, in tokens."""
        info = await self.get_info()
        return info.context_length

    async def get_processing_state(self) -> ProcessingState:
        """Its state ("idle", "processingPrompt", "generating", "computingEmbedding"), and how many requests wait."""
        return await wait(self._ask(self._calls.get_processing_state()))

    async def unload(self) -> None:
        """Unload it. A later request through this handle loads it again."""
        await wait(self._unload())


class AsyncLLM(AsyncModel):
    """A language model.

    ``client.llm.model(key)`` loads it at once if it is not loaded; the handle of ``client.llm.just_in_time(key)`` does
    so with its first request. A model that was unloaded meanwhile is loaded again.

    Example: Call
        ```python
        from lmstudio_integrations import AsyncClient, Chat

        client = AsyncClient()
        model = client.llm.just_in_time("qwen/qwen3-4b")
        result = await model.respond("Why is the sky blue?", config={"temperature": 0.2, "maxTokens": 300})
        print(result)
        #> Air scatters blue light more than red.
        print(await model.complete("Once upon a time"))  # continues the text, without a chat template
        #> there was a lighthouse.
        ```

    Example: Stream, with progress
        ```python
        chat = Chat("Answer in one sentence.")
        chat.add_user_message("Why is the sky blue?")
        async with await model.respond_stream(chat, on_prompt_processing_progress=print) as stream:
            async for fragment in stream:
                print(fragment, end="|")
        #> 0.0
        #> 0.5
        #> 1.0
        #> Air| scatters| blue| light| more| than| red|.|
        ```

        Leaving the block early cancels the prediction in LM Studio.

    Example: Tools
        ```python
        def add(a: int, b: int) -> int:
            '''Add two numbers.'''
            return a + b

        result = await model.act("What is 17 + 25?", [add], max_prediction_rounds=5)
        print(result.content, result.rounds)
        #> 17 + 25 is 42. 2
        ```

    Example: Structured output
        ```python
        from pydantic import BaseModel

        class Sailing(BaseModel):
            destination: str
            hour: int

        result = await model.respond("The ferry to the island leaves at seven.", response_format=Sailing)
        print(result.parsed)
        #> {'destination': 'the island', 'hour': 7}
        print(result.parsed_as(Sailing))
        #> destination='the island' hour=7
        ```

    Example: Reasoning
        ```python
        result = await model.respond("How many r are in strawberry?")
        print(repr(result.reasoning), repr(result.content))
        #> 'I count them: r, r, r.' 'There are three.'
        ```

    Example: Tokens
        ```python
        print(await model.count_tokens("Why is the sky blue?"), "of", await model.get_context_length())
        #> 6 of 4096
        text = await model.apply_prompt_template(chat)  # the text that the model reads
        ```

    Raises:
        LMStudioError: All methods raise the errors of ``lmstudio_integrations.errors``. If one interrupts an answer,
            ``error.partial`` has what was received before.

    Source: LM Studio, "Chat Completion", "Text Completion" and "Agentic Flows" (lmstudio-python).
    """

    async def get_load_config(self) -> ReportedLlmLoadConfig:
        """Its load settings: a dictionary with LM Studio's names, also readable as attributes (``.context_length``)."""
        config: ReportedLlmLoadConfig = await wait(self._ask(self._calls.get_load_config()))
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
        """Answer a chat.

        Args:
            history: Text, a JSON history, a list of messages or a ``Chat``; the option ``input`` is another name.
            response_format: A ``TypedDict``, a pydantic class, a JSON schema, or LM Studio's own form of one.
                ``result.parsed`` is then the document as a dictionary (of the ``TypedDict``, if one was given), and
                ``result.parsed_as(Book)`` an object of a class. If the document is incomplete, ``parsed`` is its text.
            **options: See ``PredictionOptions``.

        Raises:
            LMStudioValueError: LM Studio would refuse the history or an option.
            LMStudioError: As ``AsyncPredictionStream``.
        """
        stream: AsyncPredictionStream[Any]
        stream = self._start(AsyncPredictionStream, history, options, response_format, raw=False)
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
        """``respond`` as a stream. Returns at once; errors of connecting and loading are raised by the first read."""
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
        stream: AsyncPredictionStream[Any]
        stream = self._start(AsyncPredictionStream, prompt, options, response_format, raw=True)
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
        """``complete`` as a stream."""
        return self._start(AsyncPredictionStream, prompt, options, response_format, raw=True)

    @shows_options(ActOptions, max_parallel_tool_calls=1)
    async def act(self, chat: History, tools: Iterable[ToolInput], **options: Unpack[ActOptions]) -> ActResult:
        """Answer a chat, running the tools that the model calls, until it answers without a tool call.

        ``chat`` is what ``respond`` takes; ``act`` itself does not change it. ``tools``: functions with type hints,
        mappings with an ``"implementation"``, ``ToolFunctionDef`` objects, tools of LangChain or LlamaIndex.
        Coroutine functions run in this event loop, other tools on threads of their own.
        For ``options`` see ``ActOptions``.

        Example:
            ```python
            chat = Chat()
            chat.add_user_message("What is 17 + 25?")
            result = await model.act(chat, [add], on_message=chat.append)
            print(chat)
            #> user: What is 17 + 25?
            #> assistant: calls add({"a": 17, "b": 25})
            #> tool: add returned 42
            #> assistant: 17 + 25 is 42.
            ```

        Raises:
            LMStudioValueError: A tool, the chat or an option cannot be used.
            LMStudioToolCallError: The model called a tool in the last round, or wrote calls that cannot be parsed.
            LMStudioCancelledError: Cancelled between predictions or while tools ran.
            LMStudioTimeoutError: A time limit expired.
        """
        steps = act_steps(chat, tools, self._act_settings(options), blocking=False)
        return await drive_async(steps, self._respond_round)

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
        """The chat and the tools as the text that the model would read.

        ``opts`` holds the same options under LM Studio's names: ``omitBosToken``, ``omitEosToken``,
        ``toolDefinitions``.
        """
        call = self._template(history, opts, tools, config, omit_bos_token, omit_eos_token)
        return await wait(self._ask(call))

    async def get_base_prediction_config(
        self, *, ignore_server_session_config: bool | None = None
    ) -> ReportedPredictionConfig:
        """The default settings of predictions: a dictionary with LM Studio's names, also readable as attributes."""
        return await wait(self._ask(self._calls.get_base_prediction_config(ignore_server_session_config)))

    async def preload_draft_model(self, draft_model_key: str) -> None:
        """Load the draft model of later predictions (``draft_model=``) now, so that the first one does not wait."""
        await wait(self._ask(self._calls.preload_draft_model(draft_model_key)))


class AsyncEmbeddingModel(AsyncModel):
    """An embedding model. It is loaded as an ``AsyncLLM`` is.

    Example:
        ```python
        from lmstudio_integrations import AsyncClient

        client = AsyncClient()
        model = client.embedding.just_in_time("text-embedding-nomic-embed-text-v1.5")
        vector = await model.embed("search_query: When does the ferry leave?")
        vectors = await model.embed(["search_document: The crane lifts 40 tons.", "search_document: The ferry leaves."])
        print(len(vector), len(vectors))
        #> 768 2
        print(await model.count_tokens("The ferry leaves at seven."))
        #> 6
        ```

    Raises:
        LMStudioContextOverflowError: A text is longer than the model's context, and ``long_texts`` is "error".
        LMStudioError: As ``AsyncLLM``.

    Source: LM Studio, "Embedding" (lmstudio-python).
    """

    async def get_load_config(self) -> ReportedEmbeddingLoadConfig:
        """Its load settings: a dictionary with LM Studio's names, also readable as attributes (``.context_length``)."""
        config: ReportedEmbeddingLoadConfig = await wait(self._ask(self._calls.get_load_config()))
        return config

    @overload
    async def embed(  # type: ignore[overload-overlap]  # as above
        self, input: str, *, long_texts: LongTexts = ..., on_load_progress: LoadProgressCallback | None = ...
    ) -> list[float]: ...
    @overload
    async def embed(
        self, input: Iterable[str], *, long_texts: LongTexts = ..., on_load_progress: LoadProgressCallback | None = ...
    ) -> list[list[float]]: ...
    async def embed(
        self,
        input: str | Iterable[str],
        *,
        long_texts: LongTexts = "error",
        on_load_progress: LoadProgressCallback | None = None,
    ) -> list[float] | list[list[float]]:
        """The embedding of a text, or of each of several in their order, some of them at once.

        Args:
            input: A text, or an iterable of texts.
            long_texts: What happens to a text that has more tokens than the model's context. "error": an error with
                the text's index. "split": it is embedded in parts whose vectors are averaged. "unchecked": it is sent
                as it is, and LM Studio embeds its beginning. The check needs requests only for texts of more than 254
                bytes.
            on_load_progress: Called with 0.0 to 1.0 while the model is loaded, if it has to be.
        """
        texts = [input] if isinstance(input, str) else input
        if on_load_progress is None:
            embedded = await wait(self._embed(texts, long_texts))
        else:
            take_calls = load_calls(on_load_progress, blocking=False)
            embedded = await follow(lambda deliver: self._embed(texts, long_texts, deliver), take_calls)
        vectors = requests.read_embeddings(embedded)
        return vectors[0] if isinstance(input, str) else vectors
