"""Loading a model: the two channels, what opens them and what they report (PROTOCOL: "Load / unload / JIT / TTL")."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lmstudio_integrations.protocol._model import Incoming, Number, WireInt, WireModel
from lmstudio_integrations.protocol.config_kv import ConfigStack
from lmstudio_integrations.protocol.models import ModelInfo, ModelInstanceInfo

__all__ = [
    "GET_OR_LOAD_PACKETS",
    "LOAD_MODEL_PACKETS",
    "AlreadyLoadedPacket",
    "GetOrLoadCreation",
    "LoadModelCreation",
    "LoadProgressPacket",
    "LoadSuccessPacket",
    "ProgressPacket",
    "ResolvedPacket",
    "StartLoadingPacket",
    "SuccessLoadPacket",
    "UnloadingOtherJitModelPacket",
]

Milliseconds = Annotated[WireInt, Field(ge=1)]


class LoadModelCreation(WireModel):
    """Channel ``loadModel``: always a new instance. ``ttl_ms`` at least 1; leave it out for no limit."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier"})

    model_key: str
    identifier: str | None = None
    device_identifier: str | None = None
    ttl_ms: Milliseconds | None = None
    load_config_stack: ConfigStack


class GetOrLoadCreation(WireModel):
    """Channel ``getOrLoad``: the loaded instance, or load it. Config and TTL count only if it has to be loaded."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier"})

    identifier: str
    device_identifier: str | None = None
    load_config_stack: ConfigStack
    load_ttl_ms: Milliseconds | None = None


class ResolvedPacket(Incoming):
    """``loadModel``: which downloaded model the key means; ``ambiguous`` lists the others that fit, too."""

    type: Literal["resolved"] = "resolved"
    info: ModelInfo
    ambiguous: list[str] | None = None


class ProgressPacket(Incoming):
    """``loadModel``: 0.0 to 1.0."""

    type: Literal["progress"] = "progress"
    progress: Number = 0.0


class SuccessLoadPacket(Incoming):
    """``loadModel``: done."""

    type: Literal["success"] = "success"
    info: ModelInstanceInfo


class AlreadyLoadedPacket(Incoming):
    """``getOrLoad``: it was there."""

    type: Literal["alreadyLoaded"] = "alreadyLoaded"
    info: ModelInstanceInfo


class UnloadingOtherJitModelPacket(Incoming):
    """``getOrLoad``: another model that was loaded just in time has to go first."""

    type: Literal["unloadingOtherJITModel"] = "unloadingOtherJITModel"
    info: ModelInstanceInfo


class StartLoadingPacket(Incoming):
    """``getOrLoad``: it has to be loaded, under this identifier."""

    type: Literal["startLoading"] = "startLoading"
    identifier: str
    info: ModelInfo


class LoadProgressPacket(Incoming):
    """``getOrLoad``: 0.0 to 1.0."""

    type: Literal["loadProgress"] = "loadProgress"
    progress: Number = 0.0


class LoadSuccessPacket(Incoming):
    """``getOrLoad``: done."""

    type: Literal["loadSuccess"] = "loadSuccess"
    info: ModelInstanceInfo


LOAD_MODEL_PACKETS: dict[str, type[Incoming]] = {
    "resolved": ResolvedPacket,
    "progress": ProgressPacket,
    "success": SuccessLoadPacket,
}
"""The packets of ``loadModel`` by their ``type``."""

GET_OR_LOAD_PACKETS: dict[str, type[Incoming]] = {
    "alreadyLoaded": AlreadyLoadedPacket,
    "unloadingOtherJITModel": UnloadingOtherJitModelPacket,
    "startLoading": StartLoadingPacket,
    "loadProgress": LoadProgressPacket,
    "loadSuccess": LoadSuccessPacket,
}
"""The packets of ``getOrLoad`` by their ``type``."""
