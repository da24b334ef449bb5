"""A check is a function that raises ``AssertionError``; its docstring is its line in the table."""

from __future__ import annotations

import argparse
import json
import os
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

__all__ = ["SECTIONS", "Check", "checks_of", "run_checks"]

Check = Callable[[], None]
SECTIONS = ("bounds", "versions", "security", "processes", "kills")


def checks_of(section: str) -> tuple[Check, ...]:
    """All checks of a section, which is a module of this package with ``CHECKS``."""
    checks: tuple[Check, ...] = import_module(f"benchmarks.reliability.{section}").CHECKS
    return checks


def title(check: Check) -> str:
    """The check in words."""
    return (check.__doc__ or check.__name__).strip().splitlines()[0].rstrip(".")


def run_checks(section: str) -> dict[str, Any]:
    """Run every check of a section. Its module may have ``counts()``, further figures of the run."""
    wrong = []
    taken: dict[str, float] = {}
    started = time.monotonic()
    checks = checks_of(section)
    for check in checks:
        begun = time.monotonic()
        try:
            check()
        except Exception as error:  # noqa: BLE001  # reported
            lines = traceback.format_exception(error)
            wrong.append(f"{title(check)}: {''.join(lines)[-600:]}")
        taken[title(check)] = round(time.monotonic() - begun, 1)
    return {
        "cells": len(checks),
        "right": len(checks) - len(wrong),
        "wrong": wrong,
        "checks": taken,
        "counts": getattr(import_module(f"benchmarks.reliability.{section}"), "counts", dict)(),
        "seconds": round(time.monotonic() - started, 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run sections and print a line of JSON for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.checks", description=__doc__)
    parser.add_argument("section", nargs="*", help=f"default: {', '.join(SECTIONS)}")
    options = parser.parse_args(arguments)
    for section in options.section or SECTIONS:
        print(json.dumps({section: run_checks(section)}, ensure_ascii=False), flush=True)  # noqa: T201  # for the runner
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main())
