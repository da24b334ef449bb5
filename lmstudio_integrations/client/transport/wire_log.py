"""What the WebSocket library may log of our frames: all but the authentication, which holds the API token."""

from __future__ import annotations

import logging

__all__ = ["wire_logger"]


def _is_no_authentication(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    # The request and its reply, which may repeat what was sent. Long frames are logged in part, so only heads are read.
    return '"authVersion"' not in message and '{"success"' not in message.replace(" ", "")


wire_logger: logging.Logger = logging.getLogger("lmstudio_integrations.websockets")
"""In place of ``websockets.client``; its frames are logged at the level DEBUG."""
wire_logger.addFilter(_is_no_authentication)
