"""The system namespace (PROTOCOL: "system")."""

from lmstudio_integrations.protocol._model import LenientModel, WireInt

__all__ = ["Version"]


class Version(LenientModel):
    """``system.version``: LM Studio's version, e.g. ``"0.4.2"``, and build number."""

    version: str
    build: WireInt = 0
