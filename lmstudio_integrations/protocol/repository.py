"""The repository namespace: finding models that can be downloaded, downloading them, and the devices of LM Link.

Source: LM Studio's schema (``searchModels``, ``getModelDownloadOptions``, ``lmLinkStatus``, the channel
``downloadModel``).
"""

from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from lmstudio_integrations.protocol._model import LenientModel, Number, WireInt

__all__ = [
    "COMPATIBILITY_TYPES",
    "DownloadOptionInfo",
    "DownloadProgressUpdate",
    "LmLinkError",
    "LmLinkPeer",
    "LmLinkStatus",
    "ModelSearchResult",
]

COMPATIBILITY_TYPES = ("gguf", "safetensors", "onnx", "ggml", "pte", "mlx_placeholder", "torch_safetensors")
"""The formats that a search may be limited to."""


class ModelSearchResult(LenientModel):
    """A model that was found.

    ``identifier`` names it in later requests: ``{"type": "catalog" | "hf", "identifier": …}``. ``exact``: its name is
    the search term. ``staff_pick``: LM Studio recommends it.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    name: str
    identifier: dict[str, Any]
    exact: bool = False
    staff_pick: bool = False


class DownloadOptionInfo(LenientModel):
    """A file of a model that can be downloaded.

    ``fit_estimation``: "fullGPUOffload", "partialGPUOffload", "fitWithoutGPU", "willNotFit", or a newer server's word.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    name: str
    download_identifier: str
    quantization: str | None = None
    size_bytes: WireInt = 0
    fit_estimation: str | None = None
    recommended: bool = False
    indexed_model_identifier: str | None = None
    compatibility_type: str | None = None


class DownloadProgressUpdate(LenientModel):
    """How far a download is."""

    downloaded_bytes: WireInt = 0
    total_bytes: WireInt = 0
    speed_bytes_per_second: Number = 0


class LmLinkPeer(LenientModel):
    """Another device of LM Link. ``status``: "connected", "disconnected", or a newer server's word."""

    device_identifier: str
    device_name: str = ""
    status: str = ""


class LmLinkError(LenientModel):
    """The last error of LM Link, and when it occurred: LM Studio's ``timestamp``. Guess: milliseconds since 1970."""

    message: str
    timestamp: WireInt = 0


class LmLinkStatus(LenientModel):
    """LM Link as a device of it sees it.

    ``status``: "offline", "starting", "online", "stopping", or a newer server's word. ``issues``: what keeps it from
    starting ("deviceDisabled", "notLoggedIn", "noAccess", "badVersion"). ``peers``: the other devices; their
    ``device_identifier`` is what ``device=`` takes. ``device_identifier`` and ``device_name`` are the server's own.
    """

    status: str
    issues: list[str] = Field(default_factory=list)
    peers: list[LmLinkPeer] = Field(default_factory=list)
    device_identifier: str | None = None
    device_name: str = ""
    preferred_device_identifier: str | None = None
    reconnect_in_seconds: WireInt | None = None
    last_error: LmLinkError | None = None
