"""The settings of ``LMStudio`` and ``LMStudioEmbedding``: plain values only, so that they copy, pickle and store well.

Field names are LlamaIndex's own. Other integrations' names are understood, too (``compat.names``), and an unknown
name is an error.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict, Field, SecretStr, model_validator

from lmstudio_integrations.client.chat_settings import ChatSettings
from lmstudio_integrations.client.common_settings import CommonSettings
from lmstudio_integrations.client.server_settings import ServerSettings, hide_user
from lmstudio_integrations.client.settings import token_of
from lmstudio_integrations.compat.names import translate_constructor

__all__ = ["ConnectionSettings", "GenerationSettings"]


class ConnectionSettings(ServerSettings):
    """The server, the token, and how a model is loaded."""

    # Not built: this class is never instantiated, and each model has all these fields in a schema of its own.
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    OWN_NAMES: ClassVar[dict[str, str]] = {"api_token": "api_key"}

    api_key: SecretStr | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="LM Studio API token. None: LMSTUDIO_API_TOKEN, then LM_API_TOKEN. "
        "Neither to_dict() nor a pickle has it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _translate_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        values = {name: value for name, value in data.items() if name != "class_name"}  # a stored form has it
        return hide_user(translate_constructor(values, cls.model_fields, cls.OWN_NAMES))

    @property
    def token(self) -> str | None:
        """The API token as plain text, for the client."""
        return token_of(self.api_key)


class GenerationSettings(CommonSettings, ChatSettings, ConnectionSettings):
    """What a language model needs beyond that: the settings of both adapters, and these.

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
    raw_completion: bool = Field(
        default=False, description="complete() continues the bare text, without the chat template."
    )
    is_function_calling_model: bool | None = Field(
        default=None, description="Overrides what LM Studio says about the model's training for tools."
    )
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Further prediction settings under LM Studio's names (presencePenalty, promptTemplate, …).",
    )
