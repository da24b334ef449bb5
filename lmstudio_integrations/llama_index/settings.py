"""The settings of ``LMStudio`` and ``LMStudioEmbedding``: plain values only, so that they copy, pickle and store well.

Field names are LlamaIndex's own. Other integrations' names are understood, too (``compat.names``), and an unknown
name is an error.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from lmstudio_integrations import Timeout
from lmstudio_integrations.client.common_settings import CommonSettings
from lmstudio_integrations.client.header_settings import HeaderSettings, hide_user
from lmstudio_integrations.client.settings import call_token, token_in_pickle, token_of
from lmstudio_integrations.compat.names import translate_constructor

__all__ = ["ConnectionSettings", "GenerationSettings"]


class ConnectionSettings(HeaderSettings):
    """The server's address, the token, the time limits, and how a model is loaded."""

    # Not built: this class is never instantiated, and each model has all these fields in a schema of its own.
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    OWN_NAMES: ClassVar[dict[str, str]] = {"api_token": "api_key"}
    """LlamaIndex's names for settings that have other names elsewhere."""

    base_url: str | None = Field(
        default=None,
        description="Address of LM Studio, such as 'ws://localhost:1234'; http://…/v1 is understood. "
        "None: LMSTUDIO_BASE_URL, else LM Studio's usual ports on this machine. A user and password for a reverse "
        "proxy (https://user:password@host) are moved into headers.",
    )
    api_key: SecretStr | str | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="LM Studio API token. None: LMSTUDIO_API_TOKEN, then LM_API_TOKEN. "
        "Neither to_dict() nor a pickle has it.",
    )
    timeout: float | dict[str, float | None] | Timeout | None = Field(
        default=None,
        description="Seconds for connecting, for the first answer and between two packets; or a Timeout, or a "
        "mapping with its names. None: its defaults. Loading a model has its own limit.",
    )
    max_retries: int = Field(
        default=2,
        ge=0,
        description="How often to try again after a lost connection or an unloaded model, as long as no part of the "
        "answer has come. A prediction that has begun is never repeated.",
    )
    ssl_context: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="How wss:// is verified: the path of a file or folder with CA certificates (PEM), or an "
        "ssl.SSLContext. None: the certificates of the system. Not in to_dict(): it belongs to a machine.",
    )
    ttl: float | None = Field(
        default=3600,
        gt=0,
        description="Seconds of idleness after which LM Studio unloads a model that this call loaded. None: never.",
    )
    load_config: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings for loading the model, under LM Studio's names (contextLength, gpu, flashAttention, …). "
        "They apply when the model is loaded by this call; one that is loaded already stays as it is.",
    )
    device: str | None = Field(
        default=None,
        description="Where the model is loaded and looked for: a device of LM Link, by the identifier that "
        "client.repository.lm_link_status() lists. None leaves it to LM Studio.",
    )
    check_resources: bool = Field(
        default=False,
        description="Ask LM Studio before a load whether the model would fit, and raise LMStudioResourcesError if its "
        "guardrails would not let it pass.",
    )

    @model_validator(mode="before")
    @classmethod
    def _translate_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        values = {name: value for name, value in data.items() if name != "class_name"}  # a stored form has it
        return hide_user(translate_constructor(values, cls.model_fields, cls.OWN_NAMES))

    @field_validator("api_key", mode="before")
    @classmethod
    def _call_token(cls, value: Any) -> Any:
        """A function that returns the token is called when the object is made."""
        return call_token(value)

    @field_validator("api_key")
    @classmethod
    def _hide(cls, value: SecretStr | str | None) -> SecretStr | None:
        return SecretStr(value) if isinstance(value, str) else value

    @field_validator("timeout", mode="before")
    @classmethod
    def _plain_limits(cls, value: Any) -> Any:
        """A ``Timeout`` as a mapping, which can be stored. Its own check says what is wrong with a value."""
        Timeout.of(value)
        return dataclasses.asdict(value) if isinstance(value, Timeout) else value

    def __getstate__(self) -> dict[Any, Any]:
        """Without the API token: a pickle travels and is kept. The other side reads its own environment."""
        state = super().__getstate__()
        state["__dict__"] = {**state["__dict__"], "api_key": token_in_pickle(self.api_key)}
        return state

    def setting(self, name: str) -> Any:
        """The value of a field by its common name (``compat.prediction_request``); ``None`` if there is none."""
        return getattr(self, self.OWN_NAMES.get(name, name), None)

    @property
    def token(self) -> str | None:
        """The API token as plain text, for the client."""
        return token_of(self.api_key)


class GenerationSettings(CommonSettings, ConnectionSettings):
    """What a language model needs beyond that, and the settings of both adapters (``CommonSettings``).

    ``None`` leaves a setting to LM Studio's own configuration.
    """

    OWN_NAMES: ClassVar[dict[str, str]] = {
        "api_token": "api_key",
        "context_length": "context_window",
        "reasoning": "thinking",
        "prediction_config": "additional_kwargs",
        "parallel_tool_calls": "allow_parallel_tool_calls",
    }

    model: str | None = Field(
        default=None, description="Model key or instance identifier. None: any model that is loaded."
    )
    thinking: bool | int | None = Field(
        default=None,
        description="True or False switches the reasoning of a model that can do both; a number is its budget "
        "in tokens.",
    )
    draft_model: str | None = Field(default=None, description="Key of the model for speculative decoding; '' is none.")
    preset: str | None = Field(default=None, description="Name of a preset in LM Studio.")
    context_window: int | None = Field(
        default=None,
        ge=1,
        description="Context length in tokens to load the model with. metadata tells what the loaded model has.",
    )
    check_context: bool = Field(
        default=False,
        description="Count the prompt's tokens at the server before each chat, and raise LMStudioContextOverflowError "
        "if it does not fit. Costs three short requests.",
    )
    raw_completion: bool = Field(
        default=False, description="complete() continues the bare text, without the chat template."
    )
    send_reasoning: bool | None = Field(
        default=None,
        description="Whether the model's earlier reasoning (ThinkingBlock) goes back to it: True all of it, False "
        "none, None that of the messages since the last user message, which models need between tool calls.",
    )
    merge_messages: bool = Field(
        default=True,
        description="Merge neighbouring messages of one role, and late system messages with the user messages beside "
        "them: strict chat templates accept neither.",
    )
    message_names: bool = Field(
        default=False,
        description="Put a message's additional_kwargs['name'] before its text, for supervisors of several agents.",
    )
    fetch_images: bool = Field(
        default=False,
        description="Allow this process to fetch images that messages name by an http(s) URL. LM Studio fetches none.",
    )
    is_function_calling_model: bool | None = Field(
        default=None, description="Overrides what LM Studio says about the model's training for tools."
    )
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Further prediction settings under LM Studio's names (presencePenalty, promptTemplate, …).",
    )
