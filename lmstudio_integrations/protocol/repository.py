"""The repository namespace: finding models that can be downloaded, and downloading them.

Source: LM Studio's schema (``searchModels``, ``getModelDownloadOptions``, the channel ``downloadModel``).
"""

from typing import Any, ClassVar

from pydantic import ConfigDict

from lmstudio_integrations.protocol._model import LenientModel, Number, WireInt

__all__ = ["COMPATIBILITY_TYPES", "DownloadOptionInfo", "DownloadProgressUpdate", "ModelSearchResult"]

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
