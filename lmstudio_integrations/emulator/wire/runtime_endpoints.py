"""The namespace ``runtime``: one engine, the emulator itself. Nothing can be installed or selected."""

from __future__ import annotations

import platform
from typing import Any

from lmstudio_integrations.emulator.wire.calls import NOTHING, EndpointCall

_MEMORY = 16 * 2**30
_SPECIFIER = {"name": "emulator", "version": "1.0.0"}


async def list_engines(call: EndpointCall) -> Any:
    """The engine that answers here."""
    cpu = {"architecture": platform.machine() or "x86_64", "instructionSetExtensions": []}
    engine = {"engine": "emulator", "platform": platform.system().lower(), "supportedModelFormatNames": ["GGUF"]}
    return [{**_SPECIFIER, **engine, "cpu": cpu}]


async def survey_hardware(call: EndpointCall) -> Any:
    """A processor without a GPU, and stand-ins for the sizes of its memory."""
    scope = {"type": "selected"} if call.parameter is NOTHING else call.parameter
    if scope["type"] == "custom" and _SPECIFIER not in scope["engines"]:
        return {"status": "noCompatibleBackends", "engines": []}
    (engine,) = await list_engines(call)
    architecture = {"x86_64": "x86_64", "AMD64": "x86_64", "arm64": "ARM64", "aarch64": "ARM64"}
    cpu = {
        "architecture": architecture.get(platform.machine(), "unknown"),
        "supportedInstructionSetExtensions": [],
    }
    hardware = {
        "gpuSurveyResult": {"result": {"code": "noDevicesFound", "message": ""}, "gpuInfo": []},
        "cpuSurveyResult": {"result": {"code": "success", "message": ""}, "cpuInfo": cpu},
    }
    return {
        "status": "ok",
        "engines": [
            {
                **{name: engine[name] for name in ("name", "version", "engine", "platform")},
                "compatibility": {"status": "compatible"},
                "supportedModelFormatNames": engine["supportedModelFormatNames"],
                "hardwareSurvey": hardware,
                "memoryInfo": {"ramCapacity": _MEMORY, "vramCapacity": 0, "totalMemory": _MEMORY},
            }
        ],
    }


async def engine_selections(call: EndpointCall) -> Any:
    """The engine for each format of models: a map.

    Observed with ``lms runtime ls``: the SDK wraps parameter and answer as the package superjson does.
    """
    entries = [["GGUF", _SPECIFIER]]
    wrapped = {"json": entries, "meta": {"values": ["map"]}}
    return entries if call.parameter is NOTHING else wrapped
