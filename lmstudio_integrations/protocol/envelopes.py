"""The errors in the frames around calls and channels (PROTOCOL: "Envelope").

The client reads the envelopes themselves as plain dictionaries; their models are in ``envelope_models``.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import field_validator

from lmstudio_integrations.protocol._model import WireModel

__all__ = ["SerializedError"]


class SerializedError(WireModel):
    """An error as LM Studio writes it. Members of the wrong type get their default, so that reading never fails.

    ``display_data["code"]`` is one of the ``generic.…`` codes; ``stack`` holds paths of the server's machine.
    """

    title: str = "Unknown error"
    cause: str | None = None
    suggestion: str | None = None
    error_data: dict[str, Any] | None = None
    display_data: dict[str, Any] | None = None
    stack: str | None = None
    root_title: str | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _default_if_invalid(cls, value: Any, info: Any) -> Any:
        wanted: type = dict if info.field_name in ("error_data", "display_data") else str
        if isinstance(value, wanted):
            return value
        return cls.model_fields[info.field_name].default

    @classmethod
    def from_any(cls, raw: Any) -> Self:
        """Read any JSON value as an error; one that is no object becomes an unknown error."""
        return cls.model_validate(raw if isinstance(raw, Mapping) else {})
