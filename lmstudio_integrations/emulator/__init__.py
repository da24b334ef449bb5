"""An emulator of LM Studio's WebSocket server, for tests and for trying things out without LM Studio.

It answers the official SDKs, too. What it says is scripted, made by a rule that says so, or comes from a real
small model; nothing that it makes up is passed off as a model's work.
"""

from lmstudio_integrations.emulator.backends.prediction_request import PredictionRequest
from lmstudio_integrations.emulator.faults import Fault, Faults
from lmstudio_integrations.emulator.models import EmulatedModel
from lmstudio_integrations.emulator.replies import FailedToolCall, Reply, ToolCall
from lmstudio_integrations.emulator.server import Emulator
from lmstudio_integrations.emulator.threadsafe_event import ThreadsafeEvent
from lmstudio_integrations.emulator.wire.frame_log import RecordedFrame

__all__ = [
    "EmulatedModel",
    "Emulator",
    "FailedToolCall",
    "Fault",
    "Faults",
    "PredictionRequest",
    "RecordedFrame",
    "Reply",
    "ThreadsafeEvent",
    "ToolCall",
]
