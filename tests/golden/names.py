"""Public names that have changed since the frames were frozen: the cases run with the old package and the new one."""

from __future__ import annotations

import importlib
from typing import Any

from lmstudio_integrations import Timeout


def timeout(*, first_packet: float, idle: float) -> Timeout:
    """A ``Timeout`` (the limits were called ``first_answer`` and ``silence``)."""
    new = hasattr(Timeout(), "first_packet")
    limits: dict[str, Any] = dict(
        zip(("first_packet", "idle") if new else ("first_answer", "silence"), (first_packet, idle), strict=True)
    )
    return Timeout(**limits)


def cancel_token(adapter: str) -> Any:
    """A new token of ``adapter`` (``"langchain"`` or ``"llama_index"``; LlamaIndex's was ``Cancellation``)."""
    module = importlib.import_module(f"lmstudio_integrations.{adapter}")
    return getattr(module, "CancelToken" if hasattr(module, "CancelToken") else "Cancellation")()


def cancel_keyword(adapter: str, token: Any) -> dict[str, Any]:
    """The keyword of a call that takes the token (LlamaIndex's was ``cancellation``)."""
    return {"cancellation" if type(token).__name__ == "Cancellation" else "cancel": token}


def send_reasoning(llm_class: Any, value: bool) -> dict[str, bool]:
    """The setting of LlamaIndex's model that sends earlier reasoning back (it was ``replay_thinking``)."""
    new = "send_reasoning" in llm_class.model_fields
    return {"send_reasoning" if new else "replay_thinking": value}
