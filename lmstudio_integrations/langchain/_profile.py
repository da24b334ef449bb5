"""What a model can do, as LangChain's ``ModelProfile``: agents choose by it, and fractions need the context's size.

Building a model object asks nobody. What is known then is what holds for LM Studio as such, the ``context_length``
that the object itself asks for, and what earlier answers in this process have said about the model.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.language_models import ModelProfile

    from lmstudio_integrations import ModelInstanceInfo

__all__ = ["cache_profile", "known_profile", "profile_of"]

_known: dict[tuple[str | None, str | None], ModelProfile] = {}
_lock = threading.Lock()


def _general() -> ModelProfile:
    """What LM Studio offers for every model. Whether a model was trained for images or tools is the model's own."""
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
    """Remember what the server says about ``model`` for objects built later, and return it."""
    profile = profile_of(info)
    with _lock:
        _known[server, model] = profile
    return profile


def known_profile(server: str | None, model: str | None, context_length: int | None) -> ModelProfile:
    """What can be said without asking."""
    with _lock:
        profile: ModelProfile = {**(_known.get((server, model)) or _general())}
    if context_length is not None:
        profile.setdefault("max_input_tokens", context_length)
        profile.setdefault("max_output_tokens", context_length)
    return profile
