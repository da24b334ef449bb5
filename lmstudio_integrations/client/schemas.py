"""Schemas of answers, and whether an answer is the complete document that was asked for. Pure; both adapters use it."""

from __future__ import annotations

import json

from lmstudio_integrations.errors import LMStudioStructuredOutputError
from lmstudio_integrations.protocol.structured import answer_schema

__all__ = ["answer_schema", "raise_for_incomplete_document"]

_ENDINGS = {
    "maxPredictedTokensReached": "the token limit truncated it: raise max_tokens",
    "contextLengthReached": "the context was full: shorten the prompt, or load the model with a larger context length",
    "userStopped": "it was cancelled",
    "modelUnloaded": "the model was unloaded",
    "failed": "the engine failed",
}


def raise_for_incomplete_document(stop_reason: str, text: str | None) -> None:
    """Raise unless an answer under a schema came to its natural end.

    ``text``: the document, or ``None`` for a tool call whose arguments LM Studio has parsed. Natural ends are
    "eosFound", "toolCalls", and "stopStringFound" if the text is complete JSON. Nothing is repaired.

    Raises:
        LMStudioStructuredOutputError: The answer is incomplete; the message names the limit.
    """
    if stop_reason in ("eosFound", "toolCalls", ""):
        return
    if stop_reason == "stopStringFound" and text is not None and _is_json(text):
        return
    ending = _ENDINGS.get(stop_reason, f"it ended with the stop reason {stop_reason!r}")
    raise LMStudioStructuredOutputError(
        f"the structured answer is incomplete, because {ending}; got {(text or '')[-200:]!r}"
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
