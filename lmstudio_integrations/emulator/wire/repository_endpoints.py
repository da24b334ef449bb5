"""The namespace ``repository``: a catalog (``Emulator(repository=)``), and downloads from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from lmstudio_integrations.emulator.errors import EndpointError
from lmstudio_integrations.emulator.models import EmulatedModel
from lmstudio_integrations.emulator.server_state import ServerState
from lmstudio_integrations.emulator.wire.calls import ChannelCall, EndpointCall
from lmstudio_integrations.emulator.wire.request_schemas import COMPATIBILITY_TYPES

_LIMIT = 20
# Names of artifacts, by LM Studio's schema.
_ARTIFACT = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)/([a-z0-9]+(?:[-.][a-z0-9]+)*)")


async def search(call: EndpointCall) -> Any:
    """The models whose key has the search term in it, in the catalog's order."""
    opts = call.parameter["opts"]
    term = opts.get("searchTerm", "").lower()
    return {
        "results": [
            {
                "name": model.key,
                "identifier": {"type": "catalog", "identifier": model.key},
                "exact": model.key.lower() == term,
                "staffPick": model is call.state.repository[0],
            }
            for model in _search(call.state, term, opts)
        ]
    }


async def staff_picks(call: EndpointCall) -> Any:
    """The same for ``lms get NAME``: models whose key can be the name of an artifact."""
    term = call.parameter.get("searchTerm", "").lower()
    found = [(model, _ARTIFACT.fullmatch(model.key)) for model in _search(call.state, term, call.parameter)]
    return {
        "results": [
            {
                "owner": parts[1],
                "name": parts[2],
                "revisionNumber": 1,
                "createdAtTimestamp": 0,
                "description": "A model of the emulator's repository",
                "exact": term in (model.key, parts[2]),
            }
            for model, parts in found
            if parts is not None
        ]
    }


def _search(state: ServerState, term: str, opts: Mapping[str, Any]) -> list[EmulatedModel]:
    kinds = opts.get("compatibilityTypes", COMPATIBILITY_TYPES)
    found = [model for model in state.repository if term in model.key.lower() and _compatibility_type(model) in kinds]
    return found[: int(opts.get("limit", _LIMIT))]  # JavaScript has one kind of number: 2.0 is 2


async def download_options(call: EndpointCall) -> Any:
    """One file for each model."""
    key = call.parameter["modelSearchResultIdentifier"]["identifier"]
    model = _find(call.state, key, lambda one: one.key == key)
    return {
        "results": [
            {
                "quantization": _quantization(model),
                "name": f"{model.key} {_quantization(model)}",
                "sizeBytes": model.size_bytes,
                "fitEstimation": _fit(model),
                "recommended": True,
                "downloadIdentifier": model.key,
                "indexedModelIdentifier": model.reported_path,
                "compatibilityType": _compatibility_type(model),
            }
        ]
    }


async def download(call: ChannelCall) -> None:
    """Reports its progress and waits as a load does (``load_progress``, ``load_pace``, ``load_hold``)."""
    key = call.parameter["downloadIdentifier"]
    model = _find(call.state, key, lambda one: one.key == key)
    with call.interruptible():
        await _transfer(call, model)
    await call.send({"type": "success", "defaultIdentifier": model.key})


async def download_plan(call: ChannelCall) -> None:
    """What ``lms get`` uses: a plan with one model and one file, which is downloaded once the client commits it."""
    plan = _DownloadPlan(call.state, call.parameter["target"], call.parameter.get("opts", {}))
    await call.send({"type": "planUpdated", "plan": plan.fetching()})
    await call.send({"type": "planReady", "plan": plan.resolved()})
    with call.interruptible():
        while (packet := await call.receive())["type"] != "commit":
            plan.select(packet["nodeIndex"], packet["selectedDownloadOptionIndex"], packet["requestedPlanVersion"])
            await call.send({"type": "planUpdated", "plan": plan.resolved()})
        if plan.downloads:
            await _transfer(call, plan.model)
    await call.send({"type": "success"})


class _DownloadPlan:
    """The plan for one model. ``downloads``: whether its file is downloaded, or there already."""

    def __init__(self, state: ServerState, target: Mapping[str, Any], opts: Mapping[str, Any]) -> None:
        self._artifact = target if target["type"] == "artifact" else None
        if target["type"] == "artifact":
            key = f"{target['owner']}/{target['name']}"
            self.model = _find(state, key, lambda one: one.key == key)
        else:
            key = f"{target['source']['user']}/{target['source']['repo']}"
            self.model = _find(state, key, lambda one: one.key.lower() == key.lower() or one.has_path(key))
        kinds: Collection[str] = opts.get("compatibilityTypes", COMPATIBILITY_TYPES)
        if _compatibility_type(self.model) not in kinds:
            raise EndpointError(f'No download options for "{key}"', cause=f"Its format is none of {', '.join(kinds)}.")
        self._owned = self.model.key in state.models.downloaded
        self.downloads: bool = not self._owned
        self._version = 2

    def fetching(self) -> dict[str, Any]:
        """The plan before the options are known."""
        node = {"type": "model", "state": "fetching", "dependencyLabel": self.model.key}
        return self._plan({**node, "resolvedSources": 0, "totalSources": 1}, "fetching", version=1)

    def resolved(self) -> dict[str, Any]:
        """The plan with the options and the selected one."""
        model = self.model
        info = {
            "displayName": model.display_name or model.key.rsplit("/", 1)[-1],
            "sizeBytes": model.size_bytes,
            "quantName": _quantization(model),
            "compatibilityType": _compatibility_type(model),
        }
        option = {
            **info,
            "fitEstimation": _fit(model),
            "availability": "downloaded" if self._owned else "notDownloaded",
            "recommended": True,
        }
        owned = {**info, "modelKey": model.key}
        state = "completed" if self.downloads else "satisfied"
        node = {
            "type": "model",
            "state": state,
            "dependencyLabel": model.key,
            "resolvedSources": 1,
            "totalSources": 1,
            **({"alreadyOwned": owned} if self._owned else {}),
            "selected": info if self.downloads else owned,
            "downloadOptions": [option],
            "selectedDownloadOptionIndex": 0 if self.downloads else None,
            "recommendedDownloadOptionIndex": 0,
        }
        return self._plan(node, state, version=self._version)

    def select(self, node: int, option: int | None, version: int) -> None:
        """Select the file (option 0) or the copy that is already there (``None``).

        Raises:
            EndpointError: There is no such choice.
        """
        if node != (1 if self._artifact else 0) or not (option == 0 or (option is None and self._owned)):
            # Guess: LM Studio's own message is not known.
            raise EndpointError(f"The download plan has no option {option} at node {node}")
        self.downloads = option == 0 and not self._owned
        self._version = version

    def _plan(self, node: dict[str, Any], state: str, *, version: int) -> dict[str, Any]:
        nodes = [node]
        if self._artifact is not None:
            names = {"owner": self._artifact["owner"], "name": self._artifact["name"], "artifactType": "model"}
            nodes = [{"type": "artifact", **names, "state": state, "sizeBytes": 0, "dependencyNodes": [1]}, node]
        return {
            "nodes": nodes,
            "downloadSizeBytes": self.model.size_bytes if self.downloads else 0,
            "downloadAction": "startNewDownload" if self.downloads else "none",
            "version": version,
        }


async def _transfer(call: ChannelCall, model: EmulatedModel) -> None:
    """Send the progress of a download, and add the model."""

    def update(share: float) -> dict[str, Any]:
        counts = {"downloadedBytes": int(model.size_bytes * share), "totalBytes": model.size_bytes}
        return {"type": "downloadProgress", "update": {**counts, "speedBytesPerSecond": 1_000_000}}

    await call.send_progress(update)
    await call.send({"type": "startFinalizing"})
    call.state.models.downloaded[model.key] = model


def _find(state: ServerState, key: str, fits: Callable[[EmulatedModel], bool]) -> EmulatedModel:
    for model in state.repository:
        if fits(model):
            return model
    # Guess: LM Studio's own message is not known.
    raise EndpointError(f'No model "{key}" can be downloaded')


def _quantization(model: EmulatedModel) -> str:
    return model.quantization[0] if model.quantization else "Q4_K_M"


def _compatibility_type(model: EmulatedModel) -> str:
    return model.format if model.format in COMPATIBILITY_TYPES else "gguf"


def _fit(model: EmulatedModel) -> str:
    return "fullGPUOffload" if model.fits else "willNotFit"


async def lm_link_status(call: EndpointCall) -> Any:
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
