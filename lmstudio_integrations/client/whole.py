"""Whether a prediction that ended ended well: asked by the adapters, whose frameworks look at no stop reason."""

from __future__ import annotations

from lmstudio_integrations.client.result import PartialPrediction, PredictionResult
from lmstudio_integrations.errors import LMStudioModelUnloadedError, LMStudioServerError

__all__ = ["whole"]


def whole(result: PredictionResult) -> PredictionResult:
    """``result`` itself, unless its stop reason says that the answer was cut off by a failure.

    LM Studio ends such predictions as it ends good ones, and only the statistics tell. Half an answer must not pass for
    a whole one, so this raises ``LMStudioModelUnloadedError`` or ``LMStudioServerError``, with what there was as
    ``partial``.
    """
    reason = result.stats.stop_reason
    error: LMStudioServerError
    if reason == "modelUnloaded":
        error = LMStudioModelUnloadedError("The model was unloaded while it was answering")
    elif reason == "failed":
        error = LMStudioServerError("The engine failed while the model was answering")
    else:
        return result
    error.response_started = True
    error.partial = PartialPrediction(
        content=result.content,
        reasoning=result.reasoning,
        tool_calls=result.tool_calls,
        failed_tool_calls=result.failed_tool_calls,
        prompt_progress=result.prompt_progress,
    )
    raise error
