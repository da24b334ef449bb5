"""The namespace ``runtime``: one engine, the emulator itself. Nothing can be installed or selected."""

from __future__ import annotations

import platform
from typing import Any

from lmstudio_integrations.emulator.wire.calls import NOTHING, RpcCallContext

_SPECIFIER = {"name": "emulator", "version": "1.0.0"}


async def list_engines(call: RpcCallContext) -> Any:
    """The engine that answers here."""
    cpu = {"architecture": platform.machine() or "x86_64", "instructionSetExtensions": []}
    engine = {"engine": "emulator", "platform": platform.system().lower(), "supportedModelFormatNames": ["GGUF"]}
    return [{**_SPECIFIER, **engine, "cpu": cpu}]


async def engine_selections(call: RpcCallContext) -> Any:
    """The engine for each format of models: a map.

    Observed with ``lms runtime ls``: the SDK wraps parameter and answer as the package superjson does.
    """
    entries = [["GGUF", _SPECIFIER]]
    wrapped = {"json": entries, "meta": {"values": ["map"]}}
    return entries if call.parameter is NOTHING else wrapped
