"""What the WebSocket library may log of our frames: nothing that may hold the API token or a header's secret."""

from __future__ import annotations

import logging
import re

__all__ = ["wire_logger"]

_HEADER = re.compile(r"([<>] [!#$%&'*+.^_`|~0-9A-Za-z-]+): ")
_STATUS = re.compile(r"< HTTP/[0-9.]+ [0-9]+")
_OF_THE_HANDSHAKE = frozenset({"connection", "host", "upgrade", "user-agent"})


def _without_secrets(record: logging.LogRecord) -> bool:
    """Drop the authentication, users' headers, and what the other side may repeat of them.

    That is its reply, the reason of a close frame, and the words of its status line and headers.
    """
    message = record.getMessage()
    # Long frames are logged in part, so only heads are read.
    if '"authVersion"' in message or '{"success"' in message.replace(" ", "") or "sk-lm-" in message:
        return False
    if " CLOSE " in message[:10]:
        record.msg, record.args = message.partition(")")[0] + ")", ()
    header = _HEADER.match(message)
    if header is not None:
        name = header[1][2:].lower()
        if name not in _OF_THE_HANDSHAKE and not name.startswith("sec-websocket-"):
            record.msg, record.args = f"{header[1]}: …", ()
    elif (status := _STATUS.match(message)) is not None:
        record.msg, record.args = status[0], ()
    return True


wire_logger: logging.Logger = logging.getLogger("lmstudio_integrations.websockets")
"""In place of ``websockets.client``; its frames are logged at the level DEBUG."""
wire_logger.addFilter(_without_secrets)
