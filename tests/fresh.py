"""A Python in which nothing has been imported yet."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    """What ``code`` prints in an interpreter of its own, which has to end well."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
