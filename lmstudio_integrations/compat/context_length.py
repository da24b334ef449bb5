"""A context length that was asked for, and the one that the loaded model has."""

from __future__ import annotations

import logging
from functools import lru_cache

__all__ = ["warn_of_context_length"]

logger: logging.Logger = logging.getLogger("lmstudio_integrations")


@lru_cache(maxsize=256)
def warn_of_context_length(model: str, requested: int | None, actual: int | None) -> None:
    """Warn, once for the same values, if a model is loaded with less context than was asked for.

    LM Studio uses an instance that is loaded as it is.
    """
    if requested is not None and actual and actual < requested:
        logger.warning(
            "the model %r is loaded with a context of %d tokens, but %d were asked for: unload it, so that the next "
            "request loads it with them",
            model,
            actual,
            requested,
        )
