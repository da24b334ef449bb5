"""The settings that the chat model, the text-completion model and the embeddings share, as pydantic fields.

Nothing here opens a socket. Connections live in the client's process-wide pool, so objects pickle and copy freely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from langchain_core.utils.utils import secret_from_env
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from lmstudio_integrations import AsyncClient, Client, ModelInstanceInfo, Timeout
from lmstudio_integrations.client.common_settings import CommonSettings
from lmstudio_integrations.client.header_settings import HeaderSettings, hide_user
from lmstudio_integrations.client.settings import call_token, token_in_pickle, token_of
from lmstudio_integrations.compat.names import translate_constructor
from lmstudio_integrations.compat.prediction_request import load_options
from lmstudio_integrations.compat.prediction_settings import SAMPLING

__all__ = ["ConnectionSettings", "GenerationSettings", "Method", "Reasoning"]

_read_token = secret_from_env(["LMSTUDIO_API_TOKEN", "LM_API_TOKEN"], default=None)


def _token_in_environment() -> SecretStr | None:
    """The API token; an empty variable has none."""
    token = _read_token()
    return token if token is not None and token.get_secret_value().strip() else None


Reasoning = bool | int | Literal["on", "off"]
Method = Literal["json_schema", "function_calling", "json_mode"]
"""The ways of ``with_structured_output``."""


class ConnectionSettings(HeaderSettings):
    """Where LM Studio is, which model, and how it is loaded if it is not there yet."""

    # Not built: this class is never instantiated, and each model has all these fields in a schema of its own.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", protected_namespaces=(), arbitrary_types_allowed=True, defer_build=True
    )

    model: str | None = None
    """Model key or instance identifier (also ``model_name``); ``None``: any model that is loaded."""

    base_url: str | None = None
    """``ws://``, ``http://`` or ``host:port``; ``None``: ``LMSTUDIO_BASE_URL``, else LM Studio's usual ports. A user
    and password for a reverse proxy (``https://user:password@host``) are moved into ``headers``."""

    api_token: SecretStr | None = Field(default_factory=_token_in_environment, repr=False)
    """LM Studio's API token (also ``api_key``); read from ``LMSTUDIO_API_TOKEN``, then ``LM_API_TOKEN``."""

    timeout: float | Timeout | Mapping[str, float | None] | None = None
    """Seconds for connecting, the first answer and silence; a ``Timeout`` for each; ``None``: the client's limits.
    There is no limit on the whole unless ``Timeout(total=…)`` sets one, and loading a model is not silence."""

    max_retries: int = Field(default=2, ge=0)
    """How often a request is sent again that failed on the network before the server had begun to answer."""

    ssl_context: Any = Field(default=None, exclude=True, repr=False)
    """How ``wss://`` is verified: the path of a file or folder with CA certificates (PEM), or an ``ssl.SSLContext``."""

    ttl: float | None = Field(default=3600, gt=0)
    """Seconds of idleness after which LM Studio unloads a model that it loaded for this object; ``None``: never."""

    context_length: int | None = Field(default=None, ge=1)
    """Context length (tokens) to load the model with, if ``load_config`` has none. A model that is loaded already stays
    as it is."""

    load_config: Mapping[str, Any] | None = None
    """Other load options under LM Studio's names (``gpu``, ``flashAttention``, …), snake_case or camelCase."""

    device: str | None = None
    """Where the model is loaded and looked for: a device of LM Link, by the identifier that
    ``client.repository.lm_link_status()`` lists; ``None`` leaves it to LM Studio."""

    check_resources: bool = False
    """Ask LM Studio before a load whether the model would fit, and raise ``LMStudioResourcesError`` if its guardrails
    would not let it pass."""

    on_load_progress: Callable[[float], Any] | None = Field(default=None, exclude=True, repr=False)
    """Called with 0.0 to 1.0 while a model is being loaded."""

    @model_validator(mode="before")
    @classmethod
    def _translate_names(cls, values: Any) -> Any:
        """Names that other integrations have for the same things; a misspelt one is an error."""
        return hide_user(translate_constructor(values, cls.model_fields, {})) if isinstance(values, dict) else values

    @field_validator("api_token", mode="before")
    @classmethod
    def _call_token(cls, value: Any) -> Any:
        """A function that returns the token is called when the object is made."""
        return call_token(value)

    @field_validator("timeout", mode="before")
    @classmethod
    def _check_limits(cls, value: Any) -> Any:
        """What is wrong with a time limit is said here, and not by the first call."""
        Timeout.of(value)
        return value

    def __getstate__(self) -> dict[Any, Any]:
        """Without the API token: a pickle travels and is kept. The other side reads its own environment."""
        state = super().__getstate__()
        state["__dict__"] = {**state["__dict__"], "api_token": token_in_pickle(self.api_token)}
        return state

    def _load_options(self) -> dict[str, Any]:
        """``ttl``, ``config``, ``device`` and ``check_resources`` for the client's ``just_in_time``."""
        return load_options(self._setting)

    def _setting(self, name: str) -> Any:
        """The value of a field; ``None`` if the class has no such field."""
        return getattr(self, name, None)

    def _pick(self, name: str, changes: Mapping[str, Any]) -> Any:
        """The value of a setting: the call's, even ``None``, else the field's."""
        return changes[name] if name in changes else getattr(self, name)

    def _client(self) -> Client:
        return Client(self.base_url, api_token=self._token(), **self._client_settings())

    def _aclient(self) -> AsyncClient:
        return AsyncClient(self.base_url, api_token=self._token(), **self._client_settings())

    def _token(self) -> str | None:
        return token_of(self.api_token)


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
        names = ("model", "base_url", *SAMPLING, "reasoning", "draft_model", "preset", "context_length")
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        found |= {name: dict(given) for name in ("prediction_config", "load_config") if (given := getattr(self, name))}
        return found

    def _learn(self, model: str | None, info: ModelInstanceInfo, context_length: int | None) -> None:
        """Called with LM Studio's information about ``model`` with each answer, and the context that was asked for."""
