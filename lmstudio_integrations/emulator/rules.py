"""The rule source: what the emulator answers when nobody has scripted a reply. Deterministic, and honest about itself."""

from __future__ import annotations

from .replies import Reply
from .request import PredictionRequest


def rule_reply(request: PredictionRequest) -> Reply:
    """The reply to a request."""
    asked = request.last_user_text.strip()
    return Reply(f"This is the LM Studio emulator, not a language model. You said: {asked}")
