"""The settings that the chat model, the text-completion model and the embeddings share, as pydantic fields.

Nothing here opens a socket. Connections live in the client's process-wide pool, so objects pickle and copy freely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

from langchain_core.utils.utils import secret_from_env
from pydantic import ConfigDict, Field, SecretStr, model_validator

from lmstudio_integrations import ModelInstanceInfo
from lmstudio_integrations.client.common_settings import COMMON_NAMES, CommonSettings
from lmstudio_integrations.client.server_settings import ServerSettings, hide_user
from lmstudio_integrations.client.settings import TOKEN_VARIABLES
from lmstudio_integrations.compat.names import translate_constructor
from lmstudio_integrations.compat.prediction_request import load_options
from lmstudio_integrations.langchain._profile import check_model
from lmstudio_integrations.langchain.errors import LangChainErrors

__all__ = ["ConnectionSettings", "GenerationSettings", "Method", "Reasoning"]

_read_token = secret_from_env(list(TOKEN_VARIABLES), default=None)


def _token_in_environment() -> SecretStr | None:
    """The API token; an empty variable has none."""
    token = _read_token()
    return token if token is not None and token.get_secret_value().strip() else None


Reasoning = bool | int | Literal["on", "off"]
Method = Literal["json_schema", "function_calling", "json_mode"]
"""The ways of ``with_structured_output``."""


class ConnectionSettings(ServerSettings):
    """Which model, on which server, and how it is loaded there."""

    # Not built: this class is never instantiated, and each model has all these fields in a schema of its own.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", protected_namespaces=(), arbitrary_types_allowed=True, defer_build=True
    )

    _KIND: ClassVar[Literal["llm", "embedding"]] = "llm"
    """The kind of model."""

    model: str | None = None
    """Model key or instance identifier (also ``model_name``); ``None``: any model that is loaded."""

    api_token: SecretStr | None = Field(default_factory=_token_in_environment, repr=False)
    """LM Studio's API token (also ``api_key``); read from ``LMSTUDIO_API_TOKEN``, then ``LM_API_TOKEN``."""

    context_length: int | None = Field(default=None, ge=1)
    """Context length (tokens) to load the model with, if ``load_config`` has none. A model that is loaded already stays
    as it is."""

    on_load_progress: Callable[[float], Any] | None = Field(default=None, exclude=True, repr=False)
    """Called with 0.0 to 1.0 while a model is being loaded."""

    validate_model_on_init: bool = False
    """Whether constructing the object asks the server for the model, and raises
    ``ChatLMStudioModelNotFoundError`` if there is none of that name."""

    @model_validator(mode="before")
    @classmethod
    def _translate_names(cls, values: Any) -> Any:
        """Names that other integrations have for the same things; a misspelt one is an error."""
        return hide_user(translate_constructor(values, cls.model_fields, {})) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _validate_model(self) -> Self:
        if self.validate_model_on_init:
            with LangChainErrors():
                check_model(self._client(), self._KIND, self.model)
        return self

    def _load_options(self) -> dict[str, Any]:
        """``ttl``, ``config``, ``device`` and ``check_resources`` for the client's ``just_in_time``."""
        return load_options(self._setting)

    def _pick(self, name: str, changes: Mapping[str, Any]) -> Any:
        """The value of a setting: the call's, even ``None``, else the field's."""
        return changes[name] if name in changes else getattr(self, name)


class GenerationSettings(CommonSettings, ConnectionSettings):
    """How the model answers: the settings of both adapters (``CommonSettings``), and these.

    ``None`` leaves a setting to the preset, the model or LM Studio; ``False`` is off.
    """

    reasoning: Reasoning | None = None
    """Thinking of models that can switch it: on, off, or a budget in tokens; ``None``: as the model likes."""

    draft_model: str | None = None
    """Key of a small model that drafts tokens (speculative decoding)."""

    preset: str | None = None
    """Name or identifier of a preset in LM Studio."""

    prediction_config: Mapping[str, Any] | None = None
    """Other prediction settings under LM Studio's names (``presencePenalty``, ``cpuThreads``, …)."""

    on_prompt_progress: Callable[[float], Any] | None = Field(default=None, exclude=True, repr=False)
    """Called with 0.0 to 1.0 while the prompt is read."""

    on_queue_progress: Callable[[int], Any] | None = Field(default=None, exclude=True, repr=False)
    """Called with the number of requests that wait at the server while this one does; LM Studio is asked for it."""

    on_first_token: Callable[[], Any] | None = Field(default=None, exclude=True, repr=False)
    """Called once, when the answer begins."""

    def _what_answers(self) -> dict[str, Any]:
        """The settings that change an answer, as far as they are set: no time limits, no callbacks."""
        names = ("model", "base_url", *COMMON_NAMES, "reasoning", "draft_model", "preset", "context_length")
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        found |= {name: dict(given) for name in ("prediction_config", "load_config") if (given := getattr(self, name))}
        return found

    def _learn(self, model: str | None, info: ModelInstanceInfo, context_length: int | None) -> None:
        """Called with LM Studio's information about ``model`` with each answer, and the context that was asked for."""
