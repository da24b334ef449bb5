"""How long imports take, each in an interpreter of its own: milliseconds from its first statement to its last.

They are at the standard speed of ``machine_speed``, which imports nothing itself that would count.

The adapters are lazy packages: importing one is not yet importing its model. So both are measured.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from .environments import ROOT

STATEMENTS: dict[str, str] = {
    # Both are lazy packages; these are what a client needs of them.
    "websockets and pydantic": "import pydantic.main, pydantic.fields, websockets.asyncio.client",
    "lmstudio_integrations": "import lmstudio_integrations",
    # The classes that the adapter implements.
    "langchain_core": (
        "from langchain_core.language_models import BaseChatModel, BaseLLM\n"
        "from langchain_core.embeddings import Embeddings"
    ),
    "lmstudio_integrations.langchain": "import lmstudio_integrations.langchain",
    "ChatLMStudio": "from lmstudio_integrations.langchain import ChatLMStudio",
    "llama_index.core": "import llama_index.core",
    "lmstudio_integrations.llama_index": "import lmstudio_integrations.llama_index",
    "LMStudio": "from lmstudio_integrations.llama_index import LMStudio",
}


_PROGRAM = """
import sys, time
sys.path.append({root!r})
from benchmarks.machine_speed import SpeedMeter
meter = SpeedMeter()
begun = time.perf_counter()
{statement}
meter.add(time.perf_counter() - begun)
print(meter.scaled()[0][0] * 1e3, meter.probe_ms)
"""


def measure(python: Path, name: str, where: Path) -> dict[str, Any] | None:
    """One measurement, with the compiled modules of an earlier run on disk; ``None`` if the import fails."""
    code = _PROGRAM.format(root=str(ROOT), statement=STATEMENTS[name])
    # Without this variable the next interpreter finds what this one has compiled, as it does with users.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [str(python), "-W", "ignore", "-c", code]
    done = subprocess.run(  # noqa: S603  # our own statements, no shell
        command, check=False, capture_output=True, text=True, cwd=where, env=environment
    )
    if done.returncode:
        return None
    taken, probe = map(float, done.stdout.split())
    return {"name": name, "ms": round(taken, 2), "probe_ms": probe}
