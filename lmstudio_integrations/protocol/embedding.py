"""Embedding: one text per call, no batch (PROTOCOL: "embedding.embedString")."""

from typing import Annotated

from pydantic import Field

from lmstudio_integrations.protocol._model import LenientModel, WireModel
from lmstudio_integrations.protocol.models import QuerySpecifier

__all__ = ["EmbedStringParameter", "EmbedStringResult"]


class EmbedStringParameter(WireModel):
    """``embedding.embedString``. Here the key is ``modelSpecifier``, unlike the other calls' ``specifier``."""

    model_specifier: QuerySpecifier
    input_string: str


class EmbedStringResult(LenientModel):
    """The vector. LM Studio's documentation does not promise that it has length one."""

    embedding: Annotated[list[float], Field(min_length=1)]
