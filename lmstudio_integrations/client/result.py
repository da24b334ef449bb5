"""What a prediction leaves behind: the whole answer, or what there was when it broke off."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from lmstudio_integrations.errors import LMStudioModelUnloadedError, LMStudioServerError

if TYPE_CHECKING:
    from lmstudio_integrations.client.events import PromptProgress, ToolCallFailed
    from lmstudio_integrations.protocol.history import ToolCallRequest
    from lmstudio_integrations.protocol.models import ModelInstanceInfo
    from lmstudio_integrations.protocol.prediction import PredictionStats

__all__ = ["PartialPrediction", "PredictionResult", "read_structured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionResult:
    """The complete answer (LM Studio's documentation, "Chat Completion", section "Prediction results").

    * ``content``: the visible text; reasoning, its tags and structural text are not in it.
    * ``parsed``: the document as a dict (or list) for a structured answer, else the same text as ``content``.
    * ``structured``: whether ``parsed`` is a document. If one was asked for but what came is no JSON (as when the
      token limit cut it off), this is ``False`` and ``parse_error`` says why.
    * ``parsed_from_reasoning``: the document was found among the model's thoughts, with no visible text at all,
      as reasoning models do at times.
    * ``reasoning``: the thoughts; ``reasoning_tokens_count`` their tokens.
    * ``tool_calls``, ``failed_tool_calls``: in the order in which the model made them.
    * ``stats``: ``stop_reason``, ``tokens_per_second``, ``time_to_first_token_sec``, ``prompt_tokens_count`` …
    * ``model_info``: the instance that answered. ``load_config``, ``prediction_config``: plain dicts in user names.
    * ``prompt_progress``: the last report on the prompt, with the tokens that came from the cache, or ``None``.

    ``print(result)`` prints the content, or pretty JSON if structured.
    """

    content: str
    parsed: Any
    structured: bool
    stats: PredictionStats
    model_info: ModelInstanceInfo
    reasoning: str = ""
    reasoning_tokens_count: int = 0
    parsed_from_reasoning: bool = False
    parse_error: str | None = None
    tool_calls: list[ToolCallRequest] = field(default_factory=list)
    failed_tool_calls: list[ToolCallFailed] = field(default_factory=list)
    load_config: dict[str, Any] = field(default_factory=dict)
    prediction_config: dict[str, Any] = field(default_factory=dict)
    prompt_progress: PromptProgress | None = None

    def raise_for_stop_reason(self) -> Self:
        """The result itself, unless its stop reason says that a failure cut the answer off.

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

    def __str__(self) -> str:
        if self.structured:
            return json.dumps(self.parsed, indent=2, ensure_ascii=False)
        return self.content


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialPrediction:
    """What had come before a prediction broke off. It has no statistics and is never a result."""

    content: str
    reasoning: str
    tool_calls: list[ToolCallRequest]
    failed_tool_calls: list[ToolCallFailed]
    prompt_progress: PromptProgress | None


def read_structured(asked: bool, content: str, reasoning: str) -> tuple[bool, Any, bool, str | None]:
    """``(structured, parsed, parsed_from_reasoning, parse_error)`` of an answer.

    A reasoning model under a grammar may write the document among its thoughts and leave the answer empty
    (lmstudio-bug-tracker 1698); then, and only then, the thoughts are read.
    """
    if not asked:
        return False, content, False, None
    from_reasoning = not content.strip() and bool(reasoning.strip())
    try:
        parsed = json.loads(reasoning if from_reasoning else content)
    except (ValueError, RecursionError) as error:
        return False, content, False, f"the answer is no JSON document: {error}"
    return True, parsed, from_reasoning, None
