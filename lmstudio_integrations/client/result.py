"""The result of a prediction: the complete answer, or what had arrived before an error."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Generic, Self

from pydantic import TypeAdapter, ValidationError

from lmstudio_integrations.client.schemas import raise_for_incomplete_answer, without_code_fence
from lmstudio_integrations.errors import (
    LMStudioModelUnloadedError,
    LMStudioServerError,
    LMStudioStructuredOutputError,
    LMStudioValueError,
)
from lmstudio_integrations.protocol._model import to_jsonable
from lmstudio_integrations.protocol.config_reported import ReportedLlmLoadConfig, ReportedPredictionConfig
from lmstudio_integrations.protocol.json_text import decode

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from lmstudio_integrations.client.events import PromptProgress, TokenLogProb, ToolCallFailed
    from lmstudio_integrations.protocol.history import ToolCallRequest
    from lmstudio_integrations.protocol.models import ModelInstanceInfo
    from lmstudio_integrations.protocol.prediction import PredictionStats

    T = TypeVar("T")
    Parsed_co = TypeVar("Parsed_co", covariant=True, default=Any)  # ``PredictionResult`` alone is of any type
else:  # defaults of type variables are for type checkers: Python has them from 3.13 on
    from typing import TypeVar

    T = TypeVar("T")
    Parsed_co = TypeVar("Parsed_co", covariant=True)

__all__ = ["PartialPrediction", "PredictionResult", "Usage", "raise_for_incomplete_result", "read_structured"]

_FINISH_REASONS = {
    "eosFound": "stop",
    "stopStringFound": "stop",
    "toolCalls": "tool_calls",
    "maxPredictedTokensReached": "length",
    "contextLengthReached": "length",
    "userStopped": "cancelled",
    "modelUnloaded": "error",
    "failed": "error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of a prediction; ``None`` is a count that the server does not give.

    ``cached_tokens`` of the prompt came from the server's cache; ``reasoning_tokens`` are part of the completion.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    def to_openai(self) -> dict[str, Any]:
        """The counts under the names of OpenAI's API, without those that are not known."""
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        made: dict[str, Any] = {name: count for name in names if (count := getattr(self, name)) is not None}
        if self.cached_tokens is not None:
            made["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        if self.reasoning_tokens is not None:
            made["completion_tokens_details"] = {"reasoning_tokens": self.reasoning_tokens}
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionResult(Generic[Parsed_co]):
    """The complete answer (LM Studio's documentation, "Chat Completion", section "Prediction results").

    ``PredictionResult[X]`` is a result whose ``parsed`` is an ``X``. ``print(result)`` prints the content, or pretty
    JSON if structured.

    Example: The answer and its figures
        ```python
        from lmstudio_integrations import Client

        model = Client().llm.just_in_time("qwen/qwen3-4b")
        result = model.respond("Why is the sky blue?")
        print(result.content, result.finish_reason)
        #> Air scatters blue light more than red. stop
        print(result.usage)  # tokens
        #> Usage(prompt_tokens=..., completion_tokens=9, total_tokens=..., cached_tokens=..., reasoning_tokens=None)
        print(result.stats.tokens_per_second, result.stats.time_to_first_token_sec, result.stats.stop_reason)
        #> ... ... eosFound
        print(result.model_info.identifier, result.load_config.context_length)
        #> qwen/qwen3-4b 4096
        ```

    Example: A structured answer
        ```python
        schema = {"type": "object", "properties": {"hour": {"type": "integer"}}, "required": ["hour"]}
        result = model.respond("The ferry to the island leaves at seven.", response_format=schema)
        print(result.structured, result.parsed["hour"])
        #> True 7
        ```

    Attributes:
        content: The visible text; reasoning, its tags and structural text are not in it.
        parsed: The document as a dict (or list) for a structured answer, else the same text as ``content``. With a
            ``TypedDict`` as ``response_format`` it has that type. ``parsed_as(Book)`` is an object of a class instead.
        structured: Whether ``parsed`` is a document. If one was asked for but the answer is not JSON (for one, because
            the token limit truncated it), this is ``False`` and ``parse_error`` has the reason.
        parse_error: Why there is no document, or ``None``.
        parsed_from_reasoning: The document was found in the model's reasoning, and there was no visible text.
        reasoning: The model's reasoning; ``reasoning_tokens_count`` its tokens, ``reasoning_tags`` the literal tags
            around it, as far as they were received.
        tool_calls: In the order in which the model made them. Their ids are unique in the conversation, their names are
            the tools' own.
        failed_tool_calls: Those that LM Studio could not parse, in their order.
        finish_reason: "stop", "length", "tool_calls", "cancelled", "error", or LM Studio's own word if it is new.
        usage: Token counts.
        log_probs: The tokens of the visible text (``TokenLogProb``), if log probabilities were asked for.
        stats: ``stop_reason``, ``tokens_per_second``, ``time_to_first_token_sec``, ``prompt_tokens_count`` …
        model_info: The instance that answered.
        load_config: A dictionary under LM Studio's names, with attributes: ``load_config["contextLength"]`` is
            ``load_config.context_length``.
        prediction_config: The settings of the prediction, in the same form.
        prompt_progress: The last report on the prompt, with the tokens that came from the cache, or ``None``.
    """

    content: str
    parsed: Parsed_co
    structured: bool
    stats: PredictionStats
    model_info: ModelInstanceInfo
    reasoning: str = ""
    reasoning_tokens_count: int = 0
    reasoning_tags: tuple[str, str] = ("", "")
    parsed_from_reasoning: bool = False
    parse_error: str | None = None
    tool_calls: list[ToolCallRequest] = field(default_factory=list)
    failed_tool_calls: list[ToolCallFailed] = field(default_factory=list)
    load_config: ReportedLlmLoadConfig = field(default_factory=ReportedLlmLoadConfig)
    prediction_config: ReportedPredictionConfig = field(default_factory=ReportedPredictionConfig)
    prompt_progress: PromptProgress | None = None
    log_probs: list[TokenLogProb] = field(default_factory=list)

    @property
    def finish_reason(self) -> str:
        """Why the answer ended, in the words of OpenAI's API."""
        reason = str(self.stats.stop_reason or "")
        if reason == "eosFound" and self.tool_calls:
            return "tool_calls"
        return _FINISH_REASONS.get(reason, reason or "stop")

    @property
    def usage(self) -> Usage:
        """Token counts, as far as the server gives them."""
        stats = self.stats
        prompt, completion, total = _count(stats.prompt_tokens_count), _count(stats.predicted_tokens_count), None
        if prompt is not None or completion is not None:
            total = _count(stats.total_tokens_count) or (prompt or 0) + (completion or 0)
        cached = None if self.prompt_progress is None else self.prompt_progress.cached_tokens
        reasoning = self.reasoning_tokens_count if self.reasoning else None
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=total,
            cached_tokens=cached if prompt is None or cached is None else min(cached, prompt),
            reasoning_tokens=reasoning if completion is None or reasoning is None else min(reasoning, completion),
        )

    def parsed_as(self, kind: type[T]) -> T:
        """The structured answer as an object of ``kind``, validated by pydantic.

        Example:
            ```python
            from dataclasses import dataclass

            @dataclass  # or a pydantic class, a TypedDict, list[X] and so on
            class Sailing:
                hour: int

            print(result.parsed_as(Sailing))
            #> Sailing(hour=7)
            ```

        Raises:
            LMStudioStructuredOutputError: The answer is incomplete (the message names the limit), or does not fit.
            LMStudioValueError: No structured answer was asked for.
        """
        if not self.structured and self.parse_error is None:
            raise LMStudioValueError("this is not a structured answer: ask for one with response_format=")
        raise_for_incomplete_result(self)
        try:
            text = self.reasoning if self.parsed_from_reasoning else self.content
            return TypeAdapter(kind).validate_json(without_code_fence(text))
        except ValidationError as error:
            raise LMStudioStructuredOutputError(
                f"the structured answer does not fit {getattr(kind, '__name__', kind)}: {error}"
            ) from error

    def raise_for_stop_reason(self) -> Self:
        """Return the result itself, or raise if its stop reason is a failure.

        LM Studio ends such predictions like complete ones; only the statistics tell.

        Raises:
            LMStudioModelUnloadedError: The model was unloaded during the answer.
            LMStudioServerError: The engine failed during the answer. Both have what had arrived as ``partial``.
        """
        reason = self.stats.stop_reason
        error: LMStudioServerError
        if reason == "modelUnloaded":
            error = LMStudioModelUnloadedError("The model was unloaded while it was answering")
        elif reason == "failed":
            error = LMStudioServerError("The engine failed while the model was answering")
        else:
            return self
        error.response_started = True
        error.partial = PartialPrediction(
            content=self.content,
            reasoning=self.reasoning,
            tool_calls=self.tool_calls,
            failed_tool_calls=self.failed_tool_calls,
            prompt_progress=self.prompt_progress,
        )
        raise error

    def to_dict(self) -> dict[str, Any]:
        """The result as a dictionary that JSON can hold: its fields under their names, objects in LM Studio's form."""
        made = {item.name: _plain(getattr(self, item.name)) for item in fields(self)}
        return {**made, "finish_reason": self.finish_reason, "usage": asdict(self.usage)}

    def __await__(self) -> Generator[None, None, Self]:
        """Awaiting a result gives the result itself: ``await stream.result()`` works once it is there."""
        return self
        yield  # makes it a generator

    def __str__(self) -> str:
        if self.structured:
            return json.dumps(self.parsed, indent=2, ensure_ascii=False)
        return self.content


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialPrediction:
    """What had arrived before an error ended a prediction. It has no statistics and is never a result.

    Example:
        ```python
        from lmstudio_integrations import Client, LMStudioError
        from lmstudio_integrations.emulator import Emulator, Reply

        with Emulator() as server, Client(server.url) as client:
            server.script(Reply("Air scatters blue light.", error="The engine is out of memory", error_after=2))
            try:
                client.llm.just_in_time("emulator/chat").respond("Why is the sky blue?")
            except LMStudioError as error:
                print(repr(error.partial.content))
                #> 'Air scatters'
        ```
    """

    content: str
    reasoning: str
    tool_calls: list[ToolCallRequest]
    failed_tool_calls: list[ToolCallFailed]
    prompt_progress: PromptProgress | None


def raise_for_incomplete_result(
    result: PredictionResult, *, answer_tool: str | None = None, forced_call: bool = False
) -> None:
    """``raise_for_incomplete_answer`` for a result, if it was to be a document or a forced tool call."""
    document = answer_tool is not None or result.structured or result.parse_error is not None
    if document or forced_call:
        raise_for_incomplete_answer(
            str(result.stats.stop_reason or ""),
            result.reasoning if result.parsed_from_reasoning else result.content,
            _calls_that_count(result, answer_tool),
            [f"{failed.error.title}; got {failed.raw_content!r:.200}" for failed in result.failed_tool_calls],
            document=document,
            answer_tool=answer_tool,
        )


def _calls_that_count(result: PredictionResult, answer_tool: str | None) -> list[str]:
    """The names of the tool calls, without those of the answer tool if its first call could not be parsed.

    A stream has already given the text of that call, so a later one cannot replace it.
    """
    names = [call.name for call in result.tool_calls]
    broken = [failed.index for failed in result.failed_tool_calls if failed.name == answer_tool]
    if answer_tool not in names or not broken:
        return names
    failed_indexes = {failed.index for failed in result.failed_tool_calls}
    total = len(names) + len(failed_indexes)
    indexes = [index for index in range(total) if index not in failed_indexes]
    if indexes[names.index(answer_tool)] < broken[0]:
        return names
    return [name for name in names if name != answer_tool]


def read_structured(asked: bool, content: str, reasoning: str) -> tuple[bool, Any, bool, str | None]:
    """``(structured, parsed, parsed_from_reasoning, parse_error)`` of an answer.

    A reasoning model under a grammar may write the document in its reasoning and leave the answer empty
    (lmstudio-bug-tracker 1698); then, and only then, the reasoning is parsed.
    """
    if not asked:
        return False, content, False, None
    from_reasoning = not content.strip() and bool(reasoning.strip())
    try:
        parsed = decode(reasoning if from_reasoning else content)
    except ValueError as error:
        return False, content, False, f"the answer is not a JSON document: {error}"
    return True, parsed, from_reasoning, None


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return to_jsonable(value)


def _count(value: float | None) -> int | None:
    return None if value is None else int(value)
