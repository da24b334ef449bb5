"""Embedding: one text per call, no batch (PROTOCOL: "embedding.embedString")."""

import math
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from lmstudio_integrations.protocol._model import LenientModel, WireModel
from lmstudio_integrations.protocol.models import QuerySpecifier

__all__ = ["EmbedStringParameter", "EmbedStringResult"]


class EmbedStringParameter(WireModel):
    """``embedding.embedString``. Here the key is ``modelSpecifier``, unlike the other calls' ``specifier``."""

    model_specifier: QuerySpecifier
    input_string: str


class EmbedStringResult(LenientModel):
    """The vector. LM Studio's documentation does not promise that it has length one."""

    embedding: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]

    @field_validator("embedding", mode="wrap")
    @classmethod
    def _name_what_is_not_finite(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        """NaN from an engine's arithmetic is ``null`` in the JSON of LM Studio's JavaScript."""
        try:
            return validate(value)
        except ValidationError:
            if isinstance(value, list) and any(map(_is_not_finite, value)):
                raise ValueError(
                    "the model's vector for this text has entries that are no finite numbers (NaN). The same text "
                    "gives the same: change it, or update LM Studio's runtime, or load the model without GPU"
                ) from None
            raise


def _is_not_finite(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
