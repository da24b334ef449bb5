"""An emulator of LM Studio's WebSocket server, for tests and for trying things out without LM Studio.

It answers the official SDKs, too. What it says is scripted, made by a rule that says so, or comes from a real
small model; nothing that it makes up is passed off as a model's work.
"""

from .faults import Fault, Faults
from .gate import Gate
from .models import EmulatedModel
from .record import Recorded
from .replies import FailedToolCall, Reply, ToolCall
from .request import PredictionRequest
from .server import Emulator

__all__ = [
    "EmulatedModel",
    "Emulator",
    "FailedToolCall",
    "Fault",
    "Faults",
    "Gate",
    "PredictionRequest",
    "Recorded",
    "Reply",
    "ToolCall",
]
