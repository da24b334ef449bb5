"""Models: what they are and how one is named (PROTOCOL: "modelSpecifier", "Model info")."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol._model import LenientModel, WireInt, WireModel

__all__ = [
    "ModelInfo",
    "ModelInstanceInfo",
    "ModelQuery",
    "Quantization",
    "QuerySpecifier",
    "check_identifier",
    "query",
]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _valid_identifier(text: str) -> str:
    if not 1 <= len(text.encode("utf-16-le", "surrogatepass")) // 2 <= 1024:
        raise ValueError("must be 1 to 1024 characters long")
    if _CONTROL.search(text):
        raise ValueError("must not have control characters")
    if text == "__proto__":
        raise ValueError("is a name that LM Studio refuses")
    return text


KeyText = Annotated[str, AfterValidator(_valid_identifier)]


def check_identifier(text: str) -> str:
    """A model key or identifier as LM Studio accepts it, unchanged.

    Raises:
        LMStudioValueError: no text, empty, longer than 1024 characters, with control characters, or ``"__proto__"``.
    """
    if not isinstance(text, str):
        raise LMStudioValueError(f"A model key or identifier must be text, not {type(text).__name__}.")
    try:
        return _valid_identifier(text)
    except ValueError as error:
        raise LMStudioValueError(f"The model key or identifier {text[:80]!r} {error}.") from None


class ModelQuery(WireModel):
    """Which loaded model is meant; ``{}`` is any of them."""

    identifier: KeyText | None = None
    device_identifier: str | None = None


class QuerySpecifier(WireModel):
    """Whichever loaded model fits the query at that moment; survives an unload and reload."""

    type: Literal["query"] = "query"
    query: ModelQuery


def query(identifier: str | None = None, device: str | None = None) -> QuerySpecifier:
    """The loaded model of this identifier; without one, any. ``device``: on that device of LM Link alone.

    Raises:
        LMStudioValueError: LM Studio would refuse ``identifier``.
    """
    if identifier is not None:
        check_identifier(identifier)
    return QuerySpecifier(query=ModelQuery(identifier=identifier, device_identifier=device))


class Quantization(LenientModel):
    """For example ``Q4_K_M`` with 4 bits."""

    name: str = ""
    bits: WireInt = 0


class ModelInfo(LenientModel):
    """A downloaded model. What older servers lack has a default; what newer ones add is kept in ``model_extra``.

    ``size_bytes`` is the size on disk; ``max_context_length`` in tokens. ``vision`` and ``trained_for_tool_use`` are
    ``None`` for embedding models.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")
    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier"})

    type: str = "llm"
    model_key: str
    format: str = ""
    display_name: str = ""
    publisher: str | None = None
    path: str = ""
    size_bytes: WireInt = 0
    indexed_model_identifier: str | None = None
    device_identifier: str | None = None
    params_string: str | None = None
    architecture: str | None = None
    quantization: Quantization | None = None
    variants: list[str] | None = None
    selected_variant: str | None = None
    vision: bool | None = None
    trained_for_tool_use: bool | None = None
    max_context_length: WireInt = 0


class ModelInstanceInfo(ModelInfo):
    """A loaded model.

    ``ttl_ms`` is the idle time in milliseconds after which it is unloaded, ``None`` for never; ``last_used_time`` is
    Unix time in milliseconds; ``context_length`` in tokens.
    """

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier", "ttl_ms", "last_used_time"})

    identifier: str
    instance_reference: str = ""
    ttl_ms: WireInt | None = None
    last_used_time: WireInt | None = None
    context_length: WireInt = 0
