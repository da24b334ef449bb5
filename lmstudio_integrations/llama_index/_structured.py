"""Structured answers by LM Studio's grammar, which lets the model write only what the schema allows.

With ``pydantic_program_mode`` at its default the four ``structured_predict`` forms send the class's JSON schema as the
grammar. The other modes (``FUNCTION``, ``LLM``, …) are LlamaIndex's own programs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import Any, TypeVar, cast

import pydantic_core
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.program.function_program import FunctionCallingProgram
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError

from lmstudio_integrations.client.schemas import without_code_fence
from lmstudio_integrations.errors import LMStudioStructuredOutputError
from lmstudio_integrations.llama_index._base import LMStudioBase
from lmstudio_integrations.llama_index.events import dispatcher

__all__ = ["GrammarLLM", "PartialObjects", "parse_document"]

_M = TypeVar("_M", bound=BaseModel)


def parse_document(response: ChatResponse, output_cls: type[_M]) -> _M:
    """The object of a finished answer.

    A reasoning model may write the document in its reasoning and leave the answer empty; it is read there, then.

    Raises:
        LMStudioStructuredOutputError: The answer is no document of that class.
    """
    text = response.message.content or ""
    if not text.strip():
        reasoning = [block.content or "" for block in response.message.blocks if isinstance(block, ThinkingBlock)]
        text = "\n".join(reasoning) or text
    try:
        return output_cls.model_validate_json(without_code_fence(text))
    except ValidationError as error:
        raise LMStudioStructuredOutputError(
            f"expected a {output_cls.__name__} as JSON, got {text[-200:]!r}: {str(error)[:2000]}"
        ) from error


class PartialObjects:
    """The object of a document that streams, whenever it has changed. An incomplete document raises nothing."""

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._output_cls = output_cls
        self._flexible: type[FlexibleModel] = create_flexible_model(output_cls)
        self._seen: Any = None

    def take(self, text: str) -> Any:
        """An ``output_cls`` if the text so far is one, else a model with the fields so far, or ``None``."""
        try:
            value = pydantic_core.from_json(text, allow_partial="trailing-strings")
        except ValueError:
            return None
        if not isinstance(value, dict) or value == self._seen:
            return None
        self._seen = value
        for kind in (self._output_cls, self._flexible):
            try:
                return kind.model_validate(value)
            except ValidationError:
                continue
        return None


class _Formatted:
    """Messages that are ready, in the place of a prompt: a program asks it for nothing else."""

    def __init__(self, messages: list[ChatMessage]) -> None:
        self._messages = messages

    def format_messages(self, **kwargs: Any) -> list[ChatMessage]:
        return self._messages


class GrammarLLM(LMStudioBase):
    """``LMStudio``'s structured answers."""

    def _mode(self, mode: PydanticProgramMode) -> bool:
        return self.pydantic_program_mode == mode

    def _document_call(
        self, output_cls: type[BaseModel], prompt: BasePromptTemplate, llm_kwargs: dict[str, Any] | None, args: Any
    ) -> tuple[list[ChatMessage], dict[str, Any]]:
        messages = self._extend_messages(prompt.format_messages(llm=self, **args))
        # LlamaIndex's own programs drop these keywords of tool calling, too.
        tool_keywords = {"tool_required", "tool_choice", "allow_parallel_tool_calls"}
        kwargs = {name: value for name, value in (llm_kwargs or {}).items() if name not in tool_keywords}
        return messages, {**kwargs, "response_format": output_cls}

    def _function_program(self, output_cls: type[Any], prompt: BasePromptTemplate) -> FunctionCallingProgram[Any]:
        """LlamaIndex's program with a required tool, which LlamaIndex itself does not require in a stream."""
        return FunctionCallingProgram.from_defaults(
            output_cls=output_cls, prompt=prompt, llm=self, tool_choice="required"
        )

    def structured_predict(
        self, output_cls: type[_M], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> _M:
        """An ``output_cls`` as the answer to the prompt.

        Raises:
            ValueError: The schema is not supported, or the answer is incomplete.
        """
        if not self._mode(PydanticProgramMode.DEFAULT):
            made: _M = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return made
        _start(output_cls, prompt, prompt_args)
        messages, kwargs = self._document_call(output_cls, prompt, llm_kwargs, prompt_args)
        output: _M = parse_document(self.chat(messages, **kwargs), output_cls)
        dispatcher.event(LLMStructuredPredictEndEvent(output=output))
        return output

    async def astructured_predict(
        self, output_cls: type[_M], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> _M:
        """``structured_predict`` for coroutines."""
        output: _M
        if self._mode(PydanticProgramMode.FUNCTION):
            _start(output_cls, prompt, prompt_args)
            program = self._function_program(output_cls, prompt)
            # The program's async form omits the system prompt, so it gets messages that include it.
            ready = _Formatted(self._extend_messages(prompt.format_messages(llm=self, **prompt_args)))
            program.prompt = cast("BasePromptTemplate", ready)
            output = cast("_M", await program.acall(llm_kwargs=llm_kwargs))
        elif self._mode(PydanticProgramMode.DEFAULT):
            _start(output_cls, prompt, prompt_args)
            messages, kwargs = self._document_call(output_cls, prompt, llm_kwargs, prompt_args)
            output = parse_document(await self.achat(messages, **kwargs), output_cls)
        else:
            output = await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return output
        dispatcher.event(LLMStructuredPredictEndEvent(output=output))
        return output

    def _structured_stream_call(
        self,
        output_cls: type[Any],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        """The objects of ``stream_structured_predict``; the last is complete."""
        if self._mode(PydanticProgramMode.FUNCTION):
            return self._function_program(output_cls, prompt).stream_call(llm_kwargs=llm_kwargs, **prompt_args)
        if not self._mode(PydanticProgramMode.DEFAULT):
            return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        messages, kwargs = self._document_call(output_cls, prompt, llm_kwargs, prompt_args)

        def objects() -> Generator[Any, None, None]:
            partial = PartialObjects(output_cls)
            response = None
            with closing(self.stream_chat(messages, **kwargs)) as responses:
                for response in responses:
                    if response.delta and (found := partial.take(response.message.content or "")) is not None:
                        yield found
            if response is not None:
                yield parse_document(response, output_cls)

        return objects()

    async def _structured_astream_call(
        self,
        output_cls: type[Any],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        """The objects of ``astream_structured_predict``."""
        if self._mode(PydanticProgramMode.FUNCTION):
            program = self._function_program(output_cls, prompt)
            return await program.astream_call(llm_kwargs=llm_kwargs, **prompt_args)
        if not self._mode(PydanticProgramMode.DEFAULT):
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        messages, kwargs = self._document_call(output_cls, prompt, llm_kwargs, prompt_args)

        async def objects() -> AsyncGenerator[Any, None]:
            partial = PartialObjects(output_cls)
            response = None
            async with aclosing(await self.astream_chat(messages, **kwargs)) as responses:
                async for response in responses:
                    if response.delta and (found := partial.take(response.message.content or "")) is not None:
                        yield found
            if response is not None:
                yield parse_document(response, output_cls)

        return objects()


def _start(output_cls: type[BaseModel], prompt: PromptTemplate, prompt_args: dict[str, Any]) -> None:
    dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))
