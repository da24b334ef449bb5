"""Loading a model: what opens the two channels (PROTOCOL: "Load / unload / JIT / TTL")."""

from typing import Annotated

from pydantic import Field

from lmstudio_integrations.protocol._model import WireInt, WireModel
from lmstudio_integrations.protocol.config_kv import ConfigStack

__all__ = ["GetOrLoadCreation", "LoadModelCreation"]

Milliseconds = Annotated[WireInt, Field(ge=1)]


class LoadModelCreation(WireModel):
    """Channel ``loadModel``: always a new instance. ``ttl_ms`` at least 1; leave it out for no limit."""

    model_key: str
    identifier: str | None = None
    device_identifier: str | None = None
    ttl_ms: Milliseconds | None = None
    load_config_stack: ConfigStack


class GetOrLoadCreation(WireModel):
    """Channel ``getOrLoad``: the loaded instance, or load it. Config and TTL count only if it has to be loaded."""

    identifier: str
    device_identifier: str | None = None
    load_config_stack: ConfigStack
    load_ttl_ms: Milliseconds | None = None
