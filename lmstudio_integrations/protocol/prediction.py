"""The statistics of a prediction (PROTOCOL: "stats")."""

from typing import ClassVar

from pydantic import ConfigDict

from lmstudio_integrations.protocol._model import LenientModel, Number, WireInt

__all__ = ["PredictionStats"]


class PredictionStats(LenientModel):
    """The statistics of a prediction.

    ``stop_reason`` is ``userStopped``, ``modelUnloaded``, ``failed``, ``eosFound``, ``stopStringFound``, ``toolCalls``,
    ``maxPredictedTokensReached``, ``contextLengthReached`` or, from newer servers, any other text.

    Seconds for ``…_sec``; ``num_gpu_layers`` is -1 for all; the rest are token counts. Only ``stop_reason`` is sure to
    be there. What newer servers add is kept in ``model_extra``.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    stop_reason: str = "failed"
    stop_string: str | None = None
    tokens_per_second: Number | None = None
    num_gpu_layers: Number | None = None
    time_to_first_token_sec: Number | None = None
    total_time_sec: Number | None = None
    prompt_tokens_count: WireInt | None = None
    predicted_tokens_count: WireInt | None = None
    total_tokens_count: WireInt | None = None
    used_draft_model_key: str | None = None
    total_draft_tokens_count: WireInt | None = None
    accepted_draft_tokens_count: WireInt | None = None
    rejected_draft_tokens_count: WireInt | None = None
    ignored_draft_tokens_count: WireInt | None = None
