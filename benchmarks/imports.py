"""How long imports take, each in an interpreter of its own: milliseconds from its first statement to its last."""

from __future__ import annotations

import subprocess
from pathlib import Path

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
    "llama_index.core": "import llama_index.core",
    "lmstudio_integrations.llama_index": "import lmstudio_integrations.llama_index",
}


def import_ms(python: Path, name: str, where: Path) -> float | None:
    """One measurement, with the compiled modules of an earlier run on disk; ``None`` if the import fails."""
    code = f"import time; begun = time.perf_counter()\n{STATEMENTS[name]}\nprint((time.perf_counter() - begun) * 1e3)"
    done = subprocess.run(  # noqa: S603  # our own statements, no shell
        [str(python), "-W", "ignore", "-c", code], check=False, capture_output=True, text=True, cwd=where
    )
    return None if done.returncode else round(float(done.stdout), 2)
