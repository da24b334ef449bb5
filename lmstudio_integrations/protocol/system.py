"""The system namespace (PROTOCOL: "system")."""

from lmstudio_integrations.protocol._model import Incoming, WireInt, WireModel

__all__ = ["ListVariantsParameter", "NotifyParameter", "SystemInfo", "Version"]


class Version(Incoming):
    """``system.version``: LM Studio's version, e.g. ``"0.4.2"``, and build number."""

    version: str
    build: WireInt = 0


class SystemInfo(Incoming):
    """``system.info`` (newer than October 2025)."""

    pid: WireInt
    is_daemon: bool = False
    version: str = ""


class NotifyParameter(WireModel):
    """``system.notify``: a notice in LM Studio's window."""

    title: str
    description: str | None = None
    no_auto_dismiss: bool | None = None


class ListVariantsParameter(WireModel):
    """``system.listDownloadedModelVariants`` (newer than October 2025)."""

    model_key: str
