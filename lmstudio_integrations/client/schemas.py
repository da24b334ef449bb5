"""Schemas of answers, and whether an answer is the complete document that was asked for. Pure; both adapters use it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from lmstudio_integrations.errors import LMStudioStructuredOutputError
from lmstudio_integrations.protocol.json_text import decode
from lmstudio_integrations.protocol.structured import answer_schema, structured_value

if TYPE_CHECKING:
    from pydantic import RootModel

__all__ = [
    "AnySchema",
    "Document",
    "ModelSchema",
    "ResponseFormat",
    "SchemaClass",
    "answer_schema",
    "raise_for_incomplete_answer",
    "structured_value",
    "without_code_fence",
]


Document = TypeVar("Document", bound=Mapping[str, object])
"""A ``TypedDict``."""


@runtime_checkable
class ModelSchema(Protocol):
    """A class that has a JSON Schema, such as a pydantic class: what ``response_format`` takes.

    Example:
        ```python
        from lmstudio_integrations import Client

        class Sailing:
            @classmethod
            def model_json_schema(cls):
                return {"type": "object", "properties": {"hour": {"type": "integer"}}, "required": ["hour"]}

        model = Client().llm.just_in_time("qwen/qwen3-4b")
        print(model.respond("The ferry to the island leaves at seven.", response_format=Sailing).parsed["hour"])
        #> 7
        ```
    """

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """The JSON Schema."""
        ...


SchemaClass: TypeAlias = type[ModelSchema] | ModelSchema
"""What describes a JSON object: a pydantic class, or anything else with ``model_json_schema()``."""
AnySchema: TypeAlias = "Mapping[str, Any] | type[RootModel[Any]]"
"""What describes any JSON document: a JSON Schema, LM Studio's or OpenAI's form of it, a pydantic ``RootModel``."""
ResponseFormat: TypeAlias = "SchemaClass | AnySchema | type[Mapping[str, object]]"
"""What ``response_format`` takes; the class of a mapping is a ``TypedDict``."""

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL | re.IGNORECASE)
_ENDINGS = {
    "maxPredictedTokensReached": "the token limit truncated it: raise max_tokens",
    "contextLengthReached": "the context was full: shorten the prompt, or load the model with a larger context length",
    "userStopped": "it was cancelled",
    "modelUnloaded": "the model was unloaded",
    "failed": "the engine failed",
}


def raise_for_incomplete_answer(
    stop_reason: str,
    text: str,
    calls: Collection[str],
    failures: Sequence[str],
    *,
    document: bool,
    answer_tool: str | None = None,
) -> None:
    """Raise unless an answer under a schema, or a forced tool call, came to its natural end. Nothing is repaired.

    Natural ends are "eosFound", "toolCalls", and "stopStringFound" if the text is complete JSON.

    Args:
        stop_reason: LM Studio's stop reason; ``""`` if it is not known.
        text: The text of the answer.
        calls: The names of its tool calls.
        failures: For each tool call that LM Studio could not parse, what is wrong with it.
        document: Whether a document was asked for, else a tool call.
        answer_tool: The tool whose arguments are the document. ``None``: the text is the document.

    Raises:
        LMStudioStructuredOutputError: The answer is incomplete; the message names the limit or what is wrong.
    """
    if calls and answer_tool not in calls:
        return  # the forced call, or a step of an agent
    natural = stop_reason in ("eosFound", "toolCalls", "")
    if document and answer_tool is None:
        complete = (natural or stop_reason == "stopStringFound") and _is_json(without_code_fence(text))
    else:
        complete = natural and (bool(calls) or not (document or failures))
    if complete:
        return
    if not natural:
        ending = _ENDINGS.get(stop_reason, f"it ended with the stop reason {stop_reason!r}")
        raise LMStudioStructuredOutputError(
            f"the structured answer is incomplete, because {ending}; got {text[-200:]!r}"
        )
    if failures:
        error = LMStudioStructuredOutputError(f"the model's tool call could not be parsed: {failures[0]}")
        error.unparsed_call = True
        raise error
    expected = "a JSON document" if answer_tool is None else f"a call of the tool {answer_tool!r}"
    raise LMStudioStructuredOutputError(f"expected {expected} as the structured answer, got {text[-200:]!r}")


def without_code_fence(text: str) -> str:
    """``text``, or what is within the Markdown code fence around it."""
    found = _FENCE.fullmatch(text)
    return text if found is None else found[1]


def _is_json(text: str) -> bool:
    try:
        decode(text)
    except ValueError:
        return False
    return True
