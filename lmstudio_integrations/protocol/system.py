"""The system namespace (PROTOCOL: "system")."""

from lmstudio_integrations.protocol._model import Incoming, WireInt

__all__ = ["Version"]


class Version(Incoming):
    """``system.version``: LM Studio's version, e.g. ``"0.4.2"``, and build number."""

    version: str
    build: WireInt = 0
