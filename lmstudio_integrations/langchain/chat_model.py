"""``ChatLMStudio``: LangChain's chat model over LM Studio's own protocol.

``_messages``, ``_tools`` and ``_response`` convert; ``_request`` builds a request and iterates over its events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_core import tools as core_tools  # only the package: its modules take longer to import than this one
from langchain_core.language_models import LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.utils.utils import LC_ID_PREFIX
from pydantic import ConfigDict

from lmstudio_integrations import ModelInstanceInfo
from lmstudio_integrations.client import LLM
from lmstudio_integrations.client.chat_settings import ChatSettings
from lmstudio_integrations.compat.prediction_request import PredictionRequest
from lmstudio_integrations.compat.tool_choice import choose_tools
from lmstudio_integrations.langchain._base import LMStudioBase, ls_params
from lmstudio_integrations.langchain._batch import run_interruptibly
from lmstudio_integrations.langchain._chunks import ChunkReader
from lmstudio_integrations.langchain._messages import to_history
from lmstudio_integrations.langchain._profile import cache_profile, known_profile
from lmstudio_integrations.langchain._request import apredict, chat_request, predict
from lmstudio_integrations.langchain._response import MessageReader, generation_info
from lmstudio_integrations.langchain._tools import openai_tools
from lmstudio_integrations.langchain.errors import LangChainErrors
from lmstudio_integrations.langchain.settings import Method

if TYPE_CHECKING:
    from typing import Unpack

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.messages import AIMessageChunk
    from langchain_protocol.protocol import MessagesData

    from lmstudio_integrations.langchain._keywords import ChatCallKeywords, ChatLMStudioKeywords
    from lmstudio_integrations.langchain._stream_events import StreamEventReader

__all__ = ["ChatLMStudio"]

_NOT_IN_CACHE_KEY = (
    "on_prompt_progress",
    "on_load_progress",
    "on_queue_progress",
    "on_first_token",
    "cancel",
    "timeout",
    "max_retries",
    "ttl",
)


class ChatLMStudio(ChatSettings, LMStudioBase, BaseChatModel):
    """A chat model that LM Studio runs.

    Constructing it opens no connection. The first call connects, and loads the model if it is not loaded; LM Studio
    unloads it after ``ttl`` seconds without requests (default: 3600). Settings of the prediction and of loading are
    keywords of a call, too, or of ``bind``, and the call wins; those of the connection and of messages are not. An
    unknown keyword raises an error that names the nearest one.

    Example: Construct
        ```python
        from lmstudio_integrations.langchain import ChatLMStudio

        model = ChatLMStudio(
            model="qwen/qwen3-4b",  # LM Studio's model key; without it, any model that is loaded
            temperature=0,
            max_tokens=500,
            # base_url="ws://192.168.0.7:1234",  # default: the variable LMSTUDIO_BASE_URL, else this machine
            # api_token="sk-lm-...",  # default: the variable LMSTUDIO_API_TOKEN
        )
        ```

    Example: Call
        ```python
        messages = [("system", "Answer in one sentence."), ("human", "Why is the sky blue?")]
        message = model.invoke(messages)
        print(message.text)
        #> Air scatters blue light more than red.
        ```

    Example: Stream
        ```python
        for chunk in model.stream(messages):
            print(chunk.text, end="|")
        #> Air| scatters| blue| light| more| than| red|.||
        ```

        The sum of all chunks is the message of ``invoke``; the last chunk has metadata and no text. ``break`` cancels
        the prediction in LM Studio.

    Example: Async
        ```python
        message = await model.ainvoke(messages)
        async for chunk in model.astream(messages):
            print(chunk.text, end="")
        #> Air scatters blue light more than red.
        answers = await model.abatch(["Why is the sky blue?", "Why is the sea blue?"])
        ```

    Example: Tools
        ```python
        from langchain_core.tools import tool

        @tool
        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return "4 degrees"

        with_tools = model.bind_tools([get_weather])  # tool_choice: "auto", "none", "any" or a tool's name
        print(with_tools.invoke("How warm is it in Oslo?").tool_calls)
        #> [{'name': 'get_weather', 'args': {'city': 'Oslo'}, 'id': '...', 'type': 'tool_call'}]
        ```

        A call that LM Studio could not parse is in ``invalid_tool_calls``.

    Example: Structured output
        ```python
        from pydantic import BaseModel

        class Sailing(BaseModel):
            destination: str
            hour: int

        print(model.with_structured_output(Sailing).invoke("The ferry to the island leaves at seven."))
        #> destination='the island' hour=7
        ```

        LM Studio restricts the model's output to the schema. A document that a limit truncates raises
        ``LMStudioStructuredOutputError``.

    Example: Images
        ```python
        import base64
        from pathlib import Path

        image = base64.b64encode(Path("photo.jpg").read_bytes()).decode()
        question = [
            {"type": "text", "text": "What is in this picture?"},
            {"type": "image", "base64": image, "mime_type": "image/jpeg"},
        ]
        print(model.invoke([("human", question)]).text)
        #> A harbour crane.
        ```

    Example: Reasoning
        ```python
        message = model.invoke("How many r are in strawberry?", reasoning=True)  # False: off; a number: tokens
        for block in message.content_blocks:
            print(block)
        #> {'type': 'reasoning', 'reasoning': 'I count them: r, r, r.'}
        #> {'type': 'text', 'text': 'There are three.'}
        ```

    Example: Usage and response metadata
        ```python
        message = model.invoke("Why is the sky blue?")
        print(message.usage_metadata)  # tokens
        #> {'input_tokens': ..., 'output_tokens': 9, 'total_tokens': ..., 'input_token_details': {'cache_read': ...}}
        print(message.response_metadata["finish_reason"], message.response_metadata["stats"])
        #> stop {'stop_reason': 'eosFound', 'tokens_per_second': ..., 'time_to_first_token_sec': ..., ...}
        ```

        ``model_info`` there is the instance that answered, with its context length. In a stream, the last chunk has
        all of this.

    Example: Progress
        ```python
        def show(progress: float) -> None:
            print(f"{progress:.0%} of the prompt")

        message = model.invoke("Why is the sky blue?", on_prompt_progress=show)
        #> 0% of the prompt
        #> 50% of the prompt
        #> 100% of the prompt
        ```

        ``on_load_progress`` is called in the same way while a model is loaded. ``ProgressBar`` draws both, and
        ``astream_events`` has them as custom events (``PROMPT_PROGRESS``, ``LOAD_PROGRESS``).

    Example: Load settings
        ```python
        model = ChatLMStudio(
            model="qwen/qwen3-0.6b", context_length=8192, load_config={"flashAttention": True}, ttl=600
        )
        print(model.invoke("Why is the sky blue?").response_metadata["model_info"]["context_length"])  # tokens
        #> 8192
        ```

        They apply only if a request of this object loads the model. A model that is loaded already is not changed.

    Raises:
        LMStudioError: The errors of ``lmstudio_integrations.langchain.errors``, which are LangChain's as well. One that
            ends a stream has the text so far in ``error.partial``.

    Source: LangChain, "Chat models"; LM Studio, "Chat Completion" (lmstudio-python).
    """

    # A misspelt setting is an error; LangChain's base would drop it.
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", defer_build=False)

    streaming: bool | None = None
    """``True``: ``invoke`` streams, too, for handlers of tokens; ``False``: ``stream`` gives one chunk."""

    if TYPE_CHECKING:

        def __init__(self, **keywords: Unpack[ChatLMStudioKeywords]) -> None:
            """Accepts the fields, and their names in other integrations (``compat.names``)."""

        def invoke(  # type: ignore[override]  # the base class takes any keyword
            self,
            input: LanguageModelInput,
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[ChatCallKeywords],
        ) -> AIMessage:
            """As in LangChain; ``kwargs`` are settings of this call."""

        async def ainvoke(  # type: ignore[override]  # the base class takes any keyword
            self,
            input: LanguageModelInput,
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[ChatCallKeywords],
        ) -> AIMessage:
            """As in LangChain; ``kwargs`` are settings of this call."""

        def stream(  # type: ignore[override]  # the base class takes any keyword
            self,
            input: LanguageModelInput,
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[ChatCallKeywords],
        ) -> Iterator[AIMessageChunk]:
            """As in LangChain; ``kwargs`` are settings of this call."""

        def astream(  # type: ignore[override]  # the base class takes any keyword
            self,
            input: LanguageModelInput,
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[ChatCallKeywords],
        ) -> AsyncIterator[AIMessageChunk]:
            """As in LangChain; ``kwargs`` are settings of this call."""

    # Identity, cache and tracing

    @property
    def _llm_type(self) -> str:
        return "lmstudio-chat"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """The settings that change an answer; they are part of the cache's key."""
        return {
            **self._what_answers(),
            "send_reasoning": self.send_reasoning,
            "merge_messages": self.merge_messages,
            "message_names": self.message_names,
        }

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """The part of the cache's key for the model: the current values of everything that changes an answer."""
        changes = {name: value for name, value in kwargs.items() if name not in _NOT_IN_CACHE_KEY}
        params = {"_type": self._llm_type, **self._identifying_params, "stop": stop, **changes}
        return str(sorted(params.items()))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return ls_params(self, "chat", stop, kwargs)

    # Predictions

    def _request(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, changes: Mapping[str, Any]
    ) -> PredictionRequest:
        with LangChainErrors():
            return chat_request(
                self,
                messages,
                stop,
                changes,
                history_options=self._history_options(),
                check_context=self.check_context,
            )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._request(messages, stop, kwargs)
        reader = MessageReader(request.response)
        for _ in predict(self, request, reader):
            pass
        return _result(reader)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._request(messages, stop, kwargs)
        reader = MessageReader(request.response)
        async for _ in apredict(self, request, reader):
            pass
        return _result(reader)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        request = self._request(messages, stop, kwargs)
        return predict(self, request, ChunkReader(request.response))

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        request = self._request(messages, stop, kwargs)
        return apredict(self, request, ChunkReader(request.response))

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[MessagesData]:
        request = self._request(messages, stop, kwargs)
        reader = _stream_event_reader(request, run_manager)
        return predict(self, request, reader, first=reader.begin())

    def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[MessagesData]:
        request = self._request(messages, stop, kwargs)
        reader = _stream_event_reader(request, run_manager)
        return apredict(self, request, reader, first=reader.begin())

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        outputs = [output for output in llm_outputs if output]
        usages = [output["token_usage"] for output in outputs if output.get("token_usage")]
        total = {key: sum(usage.get(key, 0) for usage in usages) for key in _COUNTS} if usages else {}
        return {"token_usage": total, "model_name": outputs[0]["model_name"] if outputs else self.model}

    # Batches, tools and structured output

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """LangChain's ``batch``. Ctrl-C cancels the calls that have begun, at the server, too."""
        run_batch = partial(super().batch, inputs, config, return_exceptions=return_exceptions, **kwargs)
        return run_batch() if len(inputs) < 2 else run_interruptibly(run_batch, kwargs.get("cancel"))

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | core_tools.BaseTool],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with ``tools``.

        Args:
            tools: Tools in every form that LangChain converts.
            tool_choice: ``None`` or "auto": the model decides; "any", "required" or ``True``: it has to call a tool; a
                tool's name or ``{"type": "function", "function": {"name": …}}``: it has to call that one; "none": it
                calls none. OpenAI's ``allowed_tools`` leaves the other tools out.
            strict: Has no effect in LM Studio, whose grammar is always strict.
            parallel_tool_calls: ``False`` keeps only the first call of an answer.
            **kwargs: Keywords of every call. With ``response_format``, the model calls a tool or answers in that form.

        Raises:
            ValueError: ``tool_choice`` names a tool that is not there, or demands a call and there are no tools.
        """
        with LangChainErrors():
            choice, formatted = choose_tools(tool_choice, openai_tools(tools, strict=strict))
        if formatted:
            kwargs["tools"] = formatted
        if choice is not None:
            kwargs["tool_choice"] = choice
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(**kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """This model with answers in the form of ``schema``.

        Args:
            schema: A pydantic class, a ``TypedDict``, a JSON schema, or OpenAI's form of one. ``None`` only for
                "json_mode".
            method: "json_schema": LM Studio's grammar enforces the schema; "function_calling": the model has to call
                one tool; "json_mode": the grammar enforces any JSON object.
            include_raw: Return a dict of ``raw``, ``parsed`` and ``parsing_error`` instead of raising.
            strict: Has no effect in LM Studio, whose grammar is always strict.
            **kwargs: Keywords of every call.

        A stream gives partial dicts, or a pydantic object each time the partial document is valid.

        Raises:
            LMStudioStructuredOutputError: When called: the answer is not the complete document. Also a ``ValueError``
                and LangChain's ``OutputParserException``.
        """
        from lmstudio_integrations.langchain._structured import structured_chain

        with LangChainErrors():
            return structured_chain(self, schema, method=method, include_raw=include_raw, strict=strict, options=kwargs)

    # Tokens, counted by the model's own tokenizer

    def get_token_ids(self, text: str) -> list[int]:
        """The model's own token ids for ``text``."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        with LangChainErrors():
            return self._llm().tokenize(text)

    def get_num_tokens(self, text: str) -> int:
        """The number of tokens of ``text``."""
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        with LangChainErrors():
            return self._llm().count_tokens(text)

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """The number of tokens of ``messages`` and ``tools`` in the model's own chat template.

        Images are left out: LM Studio formats only text. Guess: special tokens of the template (a beginning-of-text
        token) count as in LM Studio's documentation, which counts the formatted template.
        """
        with LangChainErrors():
            history = to_history(messages, **self._history_options()).without_images()
            llm = self._llm()
            prompt = llm.apply_prompt_template(history, tools=openai_tools(tools or ()) or None)
            if self.custom_get_token_ids is not None:
                return len(self.custom_get_token_ids(prompt))
            return llm.count_tokens(prompt)

    def _llm(self) -> LLM:
        return self._client().llm.just_in_time(self.model, **self._load_options())

    # Profile

    def _resolve_model_profile(self) -> ModelProfile:
        return known_profile(self.base_url, self.model, self.context_length)

    def _learn(self, model: str | None, info: ModelInstanceInfo, context_length: int | None) -> None:
        super()._learn(model, info, context_length)
        before = known_profile(self.base_url, self.model, self.context_length)
        learned = cache_profile(self.base_url, model, info)
        if model == self.model and self.profile == before != learned:  # a profile that was passed in stays
            self.profile = {**learned}

    def with_profile(self) -> Self:
        """A copy with the ``profile`` of the server: real context length, images, tools. Loads the model."""
        with LangChainErrors():
            info = self._llm().get_info()
        return self.model_copy(update={"profile": cache_profile(self.base_url, self.model, info)})

    async def awith_profile(self) -> Self:
        """``with_profile`` for coroutines."""
        with LangChainErrors():
            llm = self._async_client().llm.just_in_time(self.model, **self._load_options())
            info = await llm.get_info()
        return self.model_copy(update={"profile": cache_profile(self.base_url, self.model, info)})


_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def _result(reader: MessageReader) -> ChatResult:
    metadata = reader.message.response_metadata
    llm_output = {"model_name": metadata["model_name"], "token_usage": reader.usage.to_openai() or None}
    generation = ChatGeneration(message=reader.message, generation_info=generation_info(metadata))
    return ChatResult(generations=[generation], llm_output=llm_output)


def _stream_event_reader(
    request: PredictionRequest, run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None
) -> StreamEventReader:
    """A reader whose message has the id that langchain-core gives the messages of a run."""
    from lmstudio_integrations.langchain._stream_events import StreamEventReader

    message_id = None if run_manager is None else f"{LC_ID_PREFIX}-{run_manager.run_id}"
    return StreamEventReader(request.response, message_id=message_id, model=request.model)
