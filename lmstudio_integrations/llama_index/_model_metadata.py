"""What is known about a model -> LlamaIndex's ``LLMMetadata``. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import LLMMetadata, MessageRole
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS

if TYPE_CHECKING:
    from lmstudio_integrations.llama_index.settings import GenerationSettings

__all__ = ["ModelFacts", "choose_facts", "facts_of", "metadata_of"]

DEFAULT_LOADED_CONTEXT = 4096
"""Guess: the context length with which LM Studio loads a model by default."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """``context_length`` in tokens; ``loaded``: it is the loaded instance's, and not only expected."""

    name: str | None = None
    context_length: int | None = None
    trained_for_tools: bool | None = None
    loaded: bool = False


def facts_of(instance: Any) -> ModelFacts:
    """The facts of a loaded instance (``ModelInstanceInfo``)."""
    return ModelFacts(
        name=instance.model_key or instance.identifier,
        context_length=instance.context_length or None,
        trained_for_tools=instance.trained_for_tool_use,
        loaded=True,
    )


def choose_facts(model: str | None, loaded: Iterable[Any], downloaded: Iterable[Any]) -> ModelFacts:
    """The facts of ``model``: of its loaded instance, else of the downloaded model."""
    for instance in loaded:
        if model is None or model in (instance.identifier, instance.model_key):
            return facts_of(instance)
    for info in downloaded:
        if model is not None and model == info.model_key:
            limit = info.max_context_length or DEFAULT_LOADED_CONTEXT
            return ModelFacts(
                name=info.model_key,
                context_length=min(limit, DEFAULT_LOADED_CONTEXT),
                trained_for_tools=info.trained_for_tool_use,
            )
    return ModelFacts(name=model)


def metadata_of(settings: GenerationSettings, facts: ModelFacts) -> LLMMetadata:
    """``LLMMetadata`` from the settings and the facts.

    The context length is the loaded instance's, else ``context_window``, else the expected one. ``num_output`` is
    ``max_tokens`` (without a limit LlamaIndex's default, 256), but at most half of the context, so that a prompt fits.
    """
    context = facts.context_length if facts.loaded else None
    context = context or settings.context_window or facts.context_length or DEFAULT_LOADED_CONTEXT
    wanted = settings.max_tokens
    if wanted is None or wanted < 1:
        wanted = DEFAULT_NUM_OUTPUTS
    tools = settings.is_function_calling_model
    if tools is None:
        # LM Studio offers tools to every model, by a prompt if the template has none (documentation on tool use), so
        # only a clear "no" counts.
        tools = facts.trained_for_tools is not False
    return LLMMetadata(
        context_window=context,
        num_output=max(1, min(wanted, context // 2)),
        is_chat_model=not settings.raw_completion,
        is_function_calling_model=tools,
        model_name=settings.model or facts.name or "lmstudio",
        system_role=MessageRole.SYSTEM,
    )
