"""``LMStudio``: a LlamaIndex language model over LM Studio's own protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    MessageRole,
)
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import ToolSelection
from pydantic import ConfigDict

from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.compat.prediction_request import PredictionRequest
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.llama_index._request import call_keywords, completion_request, required_tools
from lmstudio_integrations.llama_index._response import ResponseReader
from lmstudio_integrations.llama_index._structured import GrammarLLM
from lmstudio_integrations.llama_index._tokenizer import LMStudioTokenizer
from lmstudio_integrations.llama_index._tools import chosen_tools, conversation, tool_selections, wire_tools

if TYPE_CHECKING:
    from typing import Unpack

    from llama_index.core.tools.types import BaseTool

    from lmstudio_integrations.llama_index._keywords import CallKeywords, LMStudioKeywords

__all__ = ["LMStudio"]


class LMStudio(GrammarLLM):
    """A LlamaIndex LLM that LM Studio runs.

    Constructing it opens no connection. The first call connects, and loads the model if it is not loaded; LM Studio
    unloads it after ``ttl`` seconds without requests (default: 3600). Every chat and complete method takes the settings
    as keywords for one call, and also ``tools`` (OpenAI's form), ``tool_choice``, ``response_format`` (JSON schema),
    ``raw_completion``, ``cancel`` (a ``CancelToken``) and ``config`` (LM Studio's own names). Unknown keywords are
    errors that name the nearest one.

    Example: Construct
        ```python
        from lmstudio_integrations.llama_index import LMStudio

        llm = LMStudio(
            model="qwen/qwen3-4b",  # LM Studio's model key; without it, any model that is loaded
            temperature=0,
            max_tokens=500,
            # base_url="ws://192.168.0.7:1234",  # default: the variable LMSTUDIO_BASE_URL, else this machine
            # api_key="sk-lm-...",  # default: the variable LMSTUDIO_API_TOKEN
        )
        ```

    Example: Call
        ```python
        from llama_index.core.llms import ChatMessage

        messages = [
            ChatMessage(role="system", content="Answer in one sentence."),
            ChatMessage(role="user", content="Why is the sky blue?"),
        ]
        print(llm.chat(messages).message.content)
        #> Air scatters blue light more than red.
        print(llm.complete("Why is the sea blue?").text)
        #> It mirrors the sky.
        ```

    Example: Stream
        ```python
        for response in llm.stream_chat(messages):
            print(response.delta, end="|")
        #> Air| scatters| blue| light| more| than| red|.||
        ```

        The last response has the complete message. Closing the generator cancels the prediction in LM Studio.

    Example: Async
        ```python
        response = await llm.achat(messages)
        async for response in await llm.astream_chat(messages):
            print(response.delta, end="")
        #> Air scatters blue light more than red.
        ```

    Example: Tools
        ```python
        from llama_index.core.tools import FunctionTool

        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return "4 degrees"

        response = llm.chat_with_tools([FunctionTool.from_defaults(get_weather)], "How warm is it in Oslo?")
        for call in llm.get_tool_calls_from_response(response):
            print(call.tool_name, call.tool_kwargs)
        #> get_weather {'city': 'Oslo'}
        ```

        ``tool_choice`` takes "auto", "none", "required" or a tool's name. A call that LM Studio could not parse is in
        ``response.raw["failed_tool_calls"]``.

    Example: Structured output
        ```python
        from llama_index.core.prompts import PromptTemplate
        from pydantic import BaseModel

        class Sailing(BaseModel):
            destination: str
            hour: int

        report = "The ferry to the island leaves at seven."
        print(llm.structured_predict(Sailing, PromptTemplate("{report}"), report=report))
        #> destination='the island' hour=7
        ```

        LM Studio restricts the model's output to the schema. A document that a limit truncates raises
        ``LMStudioStructuredOutputError``, which is a ``ValueError``.

    Example: Images
        ```python
        from llama_index.core.llms import ImageBlock, TextBlock

        blocks = [TextBlock(text="What is in this picture?"), ImageBlock(path="photo.jpg")]
        print(llm.chat([ChatMessage(role="user", blocks=blocks)]).message.content)
        #> A harbour crane.
        ```

    Example: Reasoning
        ```python
        question = ChatMessage(role="user", content="How many r are in strawberry?")
        for block in llm.chat([question], thinking=True).message.blocks:  # False: off; a number: tokens
            print(repr(block.content if block.block_type == "thinking" else block.text))
        #> 'I count them: r, r, r.'
        #> 'There are three.'
        ```

        In a stream, ``response.additional_kwargs["thinking_delta"]`` is the new reasoning.

    Example: Usage and response metadata
        ```python
        raw = llm.chat(messages).raw
        print(raw["usage"], raw["finish_reason"])  # tokens
        #> {'prompt_tokens': ..., 'completion_tokens': 9, 'total_tokens': ...} stop
        print(raw["stats"])
        #> {'stop_reason': 'eosFound', 'tokens_per_second': ..., 'time_to_first_token_sec': ..., ...}
        ```

        In a stream, only the last response has them.

    Example: Progress
        ```python
        from llama_index.core.instrumentation import get_dispatcher

        from lmstudio_integrations.llama_index import ProgressBarEventHandler

        get_dispatcher().add_event_handler(ProgressBarEventHandler())
        response = llm.chat(messages)
        ```

        The events are ``LoadProgressEvent`` and ``PromptProgressEvent``, each with ``progress`` from 0.0 to 1.0.

    Example: Load settings
        ```python
        small = LMStudio(model="qwen/qwen3-0.6b", context_window=8192, load_config={"flashAttention": True}, ttl=600)
        print(small.complete("Why is the sky blue?").raw["model_info"]["context_length"])  # tokens
        #> 8192
        ```

        They apply only if a request of this object loads the model. A model that is loaded already is not changed.

    Example: Tokens
        ```python
        print(llm.count_tokens(messages) > llm.count_tokens("Why is the sky blue?"))  # with roles and template
        #> True
        ```

    Raises:
        LMStudioError: All methods raise the client's errors (``lmstudio_integrations.errors``). A stream raises them
            after the last response received; ``error.partial`` is the answer so far.

    Source: LlamaIndex, "Using LLMs"; LM Studio, "Chat Completion" (lmstudio-python).
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=False)

    if TYPE_CHECKING:

        def __init__(self, **keywords: Unpack[LMStudioKeywords]) -> None:
            """Accepts the fields, and their names in other integrations (``compat.names``)."""

    @classmethod
    def class_name(cls) -> str:
        return "LMStudio_llm"

    def to_payload(self) -> dict[str, Any]:
        """For tracing: the model, its metadata as far as it is known (no request is sent) and settings; no secrets."""
        metadata = self._known_metadata().model_dump(mode="json")
        return {
            "class_name": self.class_name(),
            "model": metadata["model_name"],
            **metadata,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    # Chat

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Unpack[CallKeywords]) -> ChatResponse:
        request = self._request(messages, call_keywords(self, kwargs))
        (response,) = self._answers(request, self._reader("chat", request, complete_only=True))
        return cast("ChatResponse", response)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Unpack[CallKeywords]) -> ChatResponse:
        request = self._request(messages, call_keywords(self, kwargs))
        return cast(
            "ChatResponse", await _only(self._aanswers(request, self._reader("chat", request, complete_only=True)))
        )

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Unpack[CallKeywords]) -> ChatResponseGen:
        request = self._request(messages, call_keywords(self, kwargs))
        return self._answers(request, self._reader("chat", request))

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Unpack[CallKeywords]
    ) -> ChatResponseAsyncGen:
        request = self._request(messages, call_keywords(self, kwargs))
        return self._aanswers(request, self._reader("chat", request))

    # Completion: a chat of one user message, or the bare text (`raw_completion`)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Unpack[CallKeywords]) -> CompletionResponse:
        request = self._completion_request(prompt, formatted, kwargs)
        (response,) = self._answers(request, self._reader("completion", request, complete_only=True))
        return cast("CompletionResponse", response)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[CallKeywords]
    ) -> CompletionResponse:
        request = self._completion_request(prompt, formatted, kwargs)
        answers = self._aanswers(request, self._reader("completion", request, complete_only=True))
        return cast("CompletionResponse", await _only(answers))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[CallKeywords]
    ) -> CompletionResponseGen:
        request = self._completion_request(prompt, formatted, kwargs)
        return self._answers(request, self._reader("completion", request))

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Unpack[CallKeywords]
    ) -> CompletionResponseAsyncGen:
        request = self._completion_request(prompt, formatted, kwargs)
        return self._aanswers(request, self._reader("completion", request))

    def _completion_request(self, prompt: str, formatted: bool, kwargs: Mapping[str, Any]) -> PredictionRequest:
        call = call_keywords(self, kwargs)
        if not isinstance(prompt, str):
            raise LMStudioValueError(f"expected the prompt as a str, got {type(prompt).__name__}")
        if not call.get("raw_completion", self.raw_completion):
            return self._request([ChatMessage(role=MessageRole.USER, content=prompt)], call)
        text = prompt if formatted or self.completion_to_prompt is None else self.completion_to_prompt(prompt)
        return completion_request(self, call, text)

    def _reader(
        self, kind: Literal["chat", "completion"], request: PredictionRequest, *, complete_only: bool = False
    ) -> ResponseReader:
        """The reader of a response. Call it in the body of the public method, whose span is the active one there."""
        return ResponseReader(
            kind,
            span_id=active_span_id.get(),
            model=request.model,
            required_tools=required_tools(request),
            complete_only=complete_only,
        )

    # Tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Keywords for ``chat``. A ``tool_choice`` among them wins over ``tool_required``.

        Without tools ``tool_required`` is ignored, and a ``tool_choice`` that demands a call is an error.
        """
        choice, openai_tools = chosen_tools(kwargs.pop("tool_choice", None), tools, required=tool_required)
        prepared: dict[str, Any] = {"messages": conversation(user_msg, chat_history), **kwargs}
        if openai_tools:
            prepared["tools"] = openai_tools
            if "parallel_tool_calls" not in kwargs:  # OpenAI's name of it
                prepared["allow_parallel_tool_calls"] = allow_parallel_tool_calls
            if choice is not None:
                prepared["tool_choice"] = choice
        return prepared

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tool calls of a response, which may be a partial one of a stream.

        Raises:
            ValueError: There are none, and ``error_on_no_tool_call`` is set.
        """
        selections = tool_selections(response)
        if not selections and error_on_no_tool_call:
            failed = response.raw.get("failed_tool_calls") if isinstance(response.raw, dict) else None
            detail = f"; calls that could not be parsed: {failed}" if failed else f": {response.message.content!r}"
            raise ValueError(f"the model called no tool{detail}")
        return selections

    # Tokens, counted by the server with the model's own tokenizer

    @property
    def tokenizer(self) -> LMStudioTokenizer:
        """For ``Settings.tokenizer`` and ``TokenCountingHandler``: a callable from text to token ids."""
        return LMStudioTokenizer(self)

    def tokenize(self, text: str) -> list[int]:
        """The token ids of ``text``. Loads the model if it is not loaded."""
        return self._handle().tokenize(text)

    async def atokenize(self, text: str) -> list[int]:
        """``tokenize`` for coroutines."""
        return await self._async_handle().tokenize(text)

    def count_tokens(self, messages: str | Sequence[ChatMessage], tools: Sequence[Any] | None = None) -> int:
        """The number of tokens of a text, or of a conversation with its tools in the model's chat template.

        Exact for text: LM Studio formats and counts. Images are left out.
        """
        model = self._handle()
        if isinstance(messages, str):
            return model.count_tokens(messages)
        formatted = model.apply_prompt_template(self._countable(messages), tools=wire_tools(tools or ()) or None)
        return model.count_tokens(formatted)

    async def acount_tokens(self, messages: str | Sequence[ChatMessage], tools: Sequence[Any] | None = None) -> int:
        """``count_tokens`` for coroutines."""
        model = self._async_handle()
        if isinstance(messages, str):
            return await model.count_tokens(messages)
        formatted = await model.apply_prompt_template(self._countable(messages), tools=wire_tools(tools or ()) or None)
        return await model.count_tokens(formatted)

    def _countable(self, messages: Sequence[ChatMessage]) -> PreparedHistory:
        return self._history(messages).without_images()


async def _only(answers: AsyncGenerator[Any, None]) -> Any:
    """The only response of a call that was made with ``complete_only``."""
    (response,) = [response async for response in answers]
    return response
