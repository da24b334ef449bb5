"""Programs of their own, for what would take the test's process down or leave it changed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_SECONDS = 30


def program(source: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
    """The command that runs ``source``."""
    return [sys.executable, *options, "-c", textwrap.dedent(source), *arguments]


def environment() -> dict[str, str]:
    """The test's own, with this package first."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def run(source: str, *arguments: str, options: tuple[str, ...] = (), code: int = 0) -> str:
    """Run ``source``; its output. It must end by itself with ``code`` and write nothing to standard error."""
    done = subprocess.run(
        program(source, *arguments, options=options),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == code
    return done.stdout
