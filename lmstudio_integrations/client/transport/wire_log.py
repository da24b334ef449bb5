"""What the WebSocket library may log of our frames: nothing that may hold the API token."""

from __future__ import annotations

import logging

__all__ = ["wire_logger"]


def _without_token(record: logging.LogRecord) -> bool:
    """Drop the authentication and its reply, which may repeat it, and the reason of a close frame."""
    message = record.getMessage()
    # Long frames are logged in part, so only heads are read.
    if '"authVersion"' in message or '{"success"' in message.replace(" ", "") or "sk-lm-" in message:
        return False
    if " CLOSE " in message[:10]:
        record.msg, record.args = message.partition(")")[0] + ")", ()
    return True


wire_logger: logging.Logger = logging.getLogger("lmstudio_integrations.websockets")
"""In place of ``websockets.client``; its frames are logged at the level DEBUG."""
wire_logger.addFilter(_without_token)
