"""What a model can do, as LangChain's ``ModelProfile``, and whether it exists.

Agents choose their way to structured output by the profile, and summarize by its context length. Constructing a model
object sends no request. The profile then holds what is true of LM Studio for every model, the ``context_length`` of the
object, and what earlier answers in this process have said about the model.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

from lmstudio_integrations.errors import LMStudioModelNotFoundError

if TYPE_CHECKING:
    from langchain_core.language_models import ModelProfile

    from lmstudio_integrations import Client, ModelInstanceInfo

__all__ = ["cache_profile", "check_model", "known_profile", "profile_of"]

_known: dict[tuple[str | None, str | None], ModelProfile] = {}
_lock = threading.Lock()


def _general() -> ModelProfile:
    """What LM Studio offers for every model. Whether a model was trained for images or tools depends on the model."""
    return {
        "text_inputs": True,
        "text_outputs": True,
        "image_outputs": False,
        "audio_inputs": False,
        "audio_outputs": False,
        "video_inputs": False,
        "video_outputs": False,
        "pdf_inputs": False,
        "pdf_tool_message": False,
        "tool_calling": True,
        "tool_choice": True,
        "tool_call_streaming": True,
        "structured_output": True,
        "temperature": True,
        "mid_conversation_system_messages": True,
    }


def profile_of(info: ModelInstanceInfo) -> ModelProfile:
    """The profile of a loaded instance: its real context length, its training for images and tools."""
    profile = _general()
    if info.display_name:
        profile["name"] = info.display_name
    if info.context_length:
        profile["max_input_tokens"] = info.context_length
        profile["max_output_tokens"] = info.context_length
    vision = bool(info.vision)
    profile.update({"image_inputs": vision, "image_tool_message": vision, "attachment": vision})
    profile["tool_calling"] = info.trained_for_tool_use is not False
    return profile


def cache_profile(server: str | None, model: str | None, info: ModelInstanceInfo) -> ModelProfile:
    """Cache the profile of ``model`` for objects that are constructed later, and return it."""
    profile = profile_of(info)
    with _lock:
        _known[server, model] = profile
    return profile


def known_profile(server: str | None, model: str | None, context_length: int | None) -> ModelProfile:
    """The profile that is known without a request."""
    with _lock:
        profile: ModelProfile = {**(_known.get((server, model)) or _general())}
    if context_length is not None:
        profile.setdefault("max_input_tokens", context_length)
        profile.setdefault("max_output_tokens", context_length)
    return profile


def check_model(client: Client, kind: Literal["llm", "embedding"], model: str | None) -> None:
    """Ask the server for a model. Nothing is loaded.

    Raises:
        LMStudioModelNotFoundError: The server has no such model, or with ``model=None`` none that is loaded.
    """
    loaded = {handle.identifier for handle in getattr(client, kind).list_loaded()}
    if model is None:
        if not loaded:
            raise LMStudioModelNotFoundError("no model is loaded: load one, or pass model=…")
        return
    downloaded = [info for info in client.list_downloaded_models() if info.type == kind]
    names = {name for info in downloaded for name in (info.model_key, info.path)}
    if model not in loaded | names:
        raise LMStudioModelNotFoundError(
            f"the server has no {kind} model {model!r}: "
            f"it has {', '.join(sorted(info.model_key for info in downloaded)) or 'none'}"
        )
