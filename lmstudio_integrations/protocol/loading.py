"""Loading a model: the two channels, what opens them and what they report (PROTOCOL: "Load / unload / JIT / TTL")."""

from typing import Annotated, Literal

from pydantic import Field

from lmstudio_integrations.protocol._model import Number, WireInt, WireModel
from lmstudio_integrations.protocol.config_kv import ConfigStack
from lmstudio_integrations.protocol.models import ModelInfo, ModelInstanceInfo

__all__ = [
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

    model_key: str
    identifier: str | None = None
    ttl_ms: Milliseconds | None = None
    load_config_stack: ConfigStack


class GetOrLoadCreation(WireModel):
    """Channel ``getOrLoad``: the loaded instance, or load it. Config and TTL count only if it has to be loaded."""

    identifier: str
    load_config_stack: ConfigStack
    load_ttl_ms: Milliseconds | None = None


class ResolvedPacket(WireModel):
    """``loadModel``: which downloaded model the key means."""

    type: Literal["resolved"] = "resolved"
    info: ModelInfo


class ProgressPacket(WireModel):
    """``loadModel``: 0.0 to 1.0."""

    type: Literal["progress"] = "progress"
    progress: Number


class SuccessLoadPacket(WireModel):
    """``loadModel``: done."""

    type: Literal["success"] = "success"
    info: ModelInstanceInfo


class AlreadyLoadedPacket(WireModel):
    """``getOrLoad``: it was there."""

    type: Literal["alreadyLoaded"] = "alreadyLoaded"
    info: ModelInstanceInfo


class UnloadingOtherJitModelPacket(WireModel):
    """``getOrLoad``: another model that was loaded just in time has to go first."""

    type: Literal["unloadingOtherJITModel"] = "unloadingOtherJITModel"
    info: ModelInstanceInfo


class StartLoadingPacket(WireModel):
    """``getOrLoad``: it has to be loaded, under this identifier."""

    type: Literal["startLoading"] = "startLoading"
    identifier: str
    info: ModelInfo


class LoadProgressPacket(WireModel):
    """``getOrLoad``: 0.0 to 1.0."""

    type: Literal["loadProgress"] = "loadProgress"
    progress: Number


class LoadSuccessPacket(WireModel):
    """``getOrLoad``: done."""

    type: Literal["loadSuccess"] = "loadSuccess"
    info: ModelInstanceInfo
