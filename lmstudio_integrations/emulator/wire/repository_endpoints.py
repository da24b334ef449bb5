"""The namespace ``repository``: a catalog (``Emulator(repository=)``), and downloads from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from lmstudio_integrations.emulator.errors import EndpointError
from lmstudio_integrations.emulator.models import EmulatedModel
from lmstudio_integrations.emulator.threadsafe_event import wait_until_set
from lmstudio_integrations.emulator.wire.calls import ChannelCall, RpcCallContext

_LIMIT = 20


async def search(call: RpcCallContext) -> Any:
    """The models whose key has the search term in it, in the catalog's order."""
    opts = call.parameter["opts"]
    term = opts.get("searchTerm", "").lower()
    kinds = opts.get("compatibilityTypes", ["gguf"])
    found = [model for model in call.state.repository if term in model.key.lower() and "gguf" in kinds]
    return {
        "results": [
            {
                "name": model.key,
                "identifier": {"type": "catalog", "identifier": model.key},
                "exact": model.key == term,
                "staffPick": model is call.state.repository[0],
            }
            for model in found[: opts.get("limit", _LIMIT)]
        ]
    }


async def download_options(call: RpcCallContext) -> Any:
    """One file for each model."""
    model = _model(call.state.repository, call.parameter["modelSearchResultIdentifier"]["identifier"])
    quantization = model.quantization[0] if model.quantization else "Q4_K_M"
    return {
        "results": [
            {
                "quantization": quantization,
                "name": f"{model.key} {quantization}",
                "sizeBytes": model.size_bytes,
                "fitEstimation": "fullGPUOffload" if model.fits else "willNotFit",
                "recommended": True,
                "downloadIdentifier": model.key,
                "indexedModelIdentifier": model.reported_path,
                "compatibilityType": "gguf",
            }
        ]
    }


async def download(call: ChannelCall) -> None:
    """Reports the shares and waits as a load does (``load_progress``, ``load_pace``, ``load_hold``)."""
    model = _model(call.state.repository, call.parameter["downloadIdentifier"])
    house = call.state
    shares = house.load_progress
    with call.interruptible():
        for place, share in enumerate(shares):
            if house.load_hold is not None and place == len(shares) // 2:
                await wait_until_set(house.load_hold)
            update = {
                "downloadedBytes": int(model.size_bytes * share),
                "totalBytes": model.size_bytes,
                "speedBytesPerSecond": 1_000_000,
            }
            await call.send({"type": "downloadProgress", "update": update})
            await asyncio.sleep(house.load_pace)
    await call.send({"type": "startFinalizing"})
    house.models.downloaded[model.key] = model
    await call.send({"type": "success", "defaultIdentifier": model.key})


def _model(catalog: Sequence[EmulatedModel], key: str) -> EmulatedModel:
    for model in catalog:
        if model.key == key:
            return model
    # Guess: LM Studio's words for it are unknown.
    raise EndpointError(f'No model "{key}" can be downloaded')


async def lm_link_status(call: RpcCallContext) -> Any:
    """A connected peer for each device on which a model is."""
    devices = dict.fromkeys(model.device for model in call.state.models.downloaded.values() if model.device is not None)
    return {
        "status": "online" if devices else "offline",
        "issues": [] if devices else ["notLoggedIn"],
        "peers": [
            {"deviceIdentifier": device, "deviceName": device.replace("-", " "), "status": "connected"}
            for device in devices
        ],
        "deviceIdentifier": "emulator" if devices else None,
        "deviceName": "emulator",
    }
