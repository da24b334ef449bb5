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
from lmstudio_integrations.llama_index._tools import chosen_tool, conversation, tool_selections, wire_tools

if TYPE_CHECKING:
    from typing import Unpack

    from llama_index.core.tools.types import BaseTool

    from lmstudio_integrations.llama_index._keywords import CallKeywords, LMStudioKeywords

__all__ = ["LMStudio"]


class LMStudio(GrammarLLM):
    """A model in LM Studio.

    Examples::

        llm = LMStudio(model="qwen/qwen3-4b", temperature=0.2, context_window=8192)
        for response in llm.stream_chat([ChatMessage(role="user", content="Why is the sky blue?")]):
            print(response.delta, end="")
        print(response.raw["stats"]["tokens_per_second"], response.raw["usage"]["completion_tokens"])

    A model that is not loaded is loaded by the first call (``LoadProgressEvent``), and unloaded by LM Studio after
    ``ttl`` seconds of idleness. Every chat and complete method takes the settings as keywords for one call, and also
    ``tools`` (OpenAI form), ``tool_choice``, ``response_format`` (JSON schema), ``raw_completion``, ``cancel`` (a
    ``CancelToken``) and ``config`` (LM Studio's own names). Unknown keywords are errors.

    The last response of every call has ``raw`` with ``usage``, ``stats``, ``finish_reason`` and ``model_info``; while a
    model reasons, ``additional_kwargs["thinking_delta"]`` is the new reasoning, and a ``ThinkingBlock`` all of it.

    Raises:
        LMStudioError: All methods raise the client's errors (``lmstudio_integrations.errors``). A stream raises them
            after the responses that were received; ``error.partial`` is the answer so far.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=False)

    if TYPE_CHECKING:

        def __init__(self, **keywords: Unpack[LMStudioKeywords]) -> None:
            """Fields, and their names in other integrations (``compat.names``)."""

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
        """Called in the body of the public method, where the method's span is the active one."""
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
        """Keywords for ``chat``. A ``tool_choice`` among them wins over ``tool_required``; no tools is a plain chat."""
        wire = wire_tools(tools)
        choice = chosen_tool(kwargs.pop("tool_choice", None), wire, required=tool_required and bool(wire))
        prepared: dict[str, Any] = {"messages": conversation(user_msg, chat_history), **kwargs}
        if wire:
            prepared |= {"tools": wire, "allow_parallel_tool_calls": allow_parallel_tool_calls}
            if choice is not None:
                prepared["tool_choice"] = choice
        return prepared

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tool calls of a response, complete or partial.

        Raises:
            ValueError: There are none, and ``error_on_no_tool_call`` is set.
        """
        selections = tool_selections(response)
        if not selections and error_on_no_tool_call:
            failed = (response.raw or {}).get("failed_tool_calls") if isinstance(response.raw, dict) else None
            detail = f"; a call that could not be parsed: {failed}" if failed else f": {response.message.content!r}"
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
