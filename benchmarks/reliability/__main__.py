"""``python -m benchmarks.reliability``: reliability and security, shown by figures. Writes ``docs/reliability.md``.

Each section runs in processes of its own. Half an hour to an hour on two cores; ``--only SECTION`` and ``--scale 0.1``
make it shorter. ``--python`` (may be repeated) runs the fault matrix with other interpreters that have this package.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .checks import SECTIONS
from .table import figures_in

_ROOT = Path(__file__).parents[2]
_RESULTS = Path(__file__).parents[1] / "results" / "reliability.json"
_PAGE = _ROOT / "docs" / "reliability.md"
_ALL = ("matrix", "chaos", "fuzz", "load", *SECTIONS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections and write the page; 1 if anything was wrong."""
    options = _options(arguments)
    found: dict[str, Any] = json.loads(_RESULTS.read_text(encoding="utf-8")) if _RESULTS.exists() else {}
    kept = found.setdefault("beside", {}).setdefault(platform.python_version(), {}) if options.beside else found
    for section in options.only or _ALL:
        started = time.monotonic()
        _tell(f"{section} …")
        outcome = _run(section, options)
        outcome["minutes"] = round((time.monotonic() - started) / 60, 1)
        outcome["date"] = dt.datetime.now(dt.UTC).date().isoformat()
        outcome["python"] = platform.python_version()
        kept[section] = outcome
        _RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _PAGE.write_text(figures_in(_PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    return 0 if all(_right(outcome) for outcome in kept.values()) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("--only", action="append", choices=_ALL, help="run this section alone; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of the chaotic network and the mutations (default: 1)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size of chaos, fuzz and load")
    parser.add_argument("--parts", type=int, default=4, help="processes of the fault matrix at once (default: 4)")
    parser.add_argument("--soak", type=float, default=0.0, help="seconds of the soak; an hour is 3600 (default: none)")
    parser.add_argument("--python", action="append", default=[], help="another interpreter for the fault matrix")
    parser.add_argument("--beside", action="store_true", help="keep the figures beside those of another Python")
    return parser.parse_args(arguments)


def _run(section: str, options: argparse.Namespace) -> dict[str, Any]:
    if section == "matrix":
        runs = [(sys.executable, loop) for loop in ("uvloop", "asyncio")]
        runs += [(python, loop) for python in options.python for loop in ("uvloop", "asyncio")]
        return {"runs": [_matrix(python, loop, options.parts) for python, loop in runs]}
    if section == "chaos":
        count = str(int(15_000 * options.scale))
        return _module("chaos", "--seed", str(options.seed), "--predictions", count, "--embeddings", count)[0]
    if section == "fuzz":
        sizes = {"pure": 100_000, "live": 20_000, "emulator": 20_000}
        counts = [one for name, size in sizes.items() for one in (f"--{name}", str(int(size * options.scale)))]
        return {
            name: run for line in _module("fuzz", "--seed", str(options.seed), *counts) for name, run in line.items()
        }
    if section == "load":
        lines = _module("load", "--scale", str(options.scale))
        if options.soak:
            lines += _module("load", "--soak", str(options.soak))
        return {name: run for line in lines for name, run in line.items()}
    outcome: dict[str, Any] = _module("checks", section)[0][section]
    return outcome


def _matrix(python: str, loop: str, parts: int) -> dict[str, Any]:
    """All cells with one interpreter and event loop, in several processes; a part that is stuck goes on behind it."""
    started = time.monotonic()
    commands = [
        [python, "-m", "benchmarks.reliability.matrix", "--loop", loop, "--part", f"{part}/{parts}"]
        for part in range(parts)
    ]
    processes = [subprocess.Popen(command, **_options_of_process()) for command in commands]  # noqa: S603  # our own
    lines = [json.loads(line) for process in processes for line in process.communicate()[0].splitlines()]
    sums = [line["sum"] for line in lines if "sum" in line]
    version = subprocess.run(  # noqa: S603  # an interpreter that the caller named
        [python, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True, check=True
    )
    return {
        "python": version.stdout.strip(),
        "loop": loop,
        "cells": sum(one["of"] for one in sums),
        "right": sum(one["right"] for one in sums),
        "first wrong": [line for line in lines if "cell" in line],
        "wrong": [line for line in lines if line.get("again") and line["problem"]],
        "minutes": round((time.monotonic() - started) / 60, 1),
    }


def _module(name: str, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", f"benchmarks.reliability.{name}", *arguments]
    process = subprocess.Popen(command, **_options_of_process())  # noqa: S603  # our own module
    output, _ = process.communicate()
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def _options_of_process() -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    return {"cwd": _ROOT, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}


def _right(outcome: dict[str, Any]) -> bool:
    runs = outcome.get("runs") or [run for run in (outcome, *outcome.values()) if isinstance(run, dict)]
    return not any(run.get("wrong") for run in runs)


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a program, and it takes long


if __name__ == "__main__":
    raise SystemExit(main())
