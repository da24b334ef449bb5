"""What the generators in this folder share: the formatting of source, and the writing or comparing of files."""

# ruff: noqa: T201  # a command line program prints

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def formatted(text: str, path: Path) -> str:
    """``text`` as ruff formats it at ``path``, with sorted imports."""
    for arguments in (["format", "-q"], ["check", "--fix", "-q"], ["format", "-q"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(path), "-"]
        done = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)  # noqa: S603
        text = done.stdout
    return text


def write_or_check(files: dict[Path, str], script: str, description: str | None, arguments: list[str] | None) -> int:
    """Write the files, or with ``--check`` compare them. Returns 1 if one of them is not up to date."""
    parser = argparse.ArgumentParser(prog=script, description=description)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args(arguments).check
    stale = 0
    for path, text in files.items():
        current = path.read_text("utf-8") if path.exists() else ""
        if current == text:
            continue
        if check:
            stale += 1
            print(f"{path} is not up to date: run python tools/{script}")
        else:
            path.write_text(text, "utf-8", newline="\n")
            print(f"wrote {path}")
    return int(stale > 0)
