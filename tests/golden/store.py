"""The golden files: what was sent before the rebuild (``frames``), and what is sent instead where that has changed.

``changes.json`` lists the cases whose frames differ from the frozen ones on purpose, each with the number of the
decision that asks for it (10 to 21); their
frames of today are in ``frames_changed``.
"""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.golden.recorder import Case, Frames

AREAS = (
    "config",
    "client",
    "client_requests",
    "langchain_calls",
    "langchain_messages",
    "langchain_tools",
    "llama_index_calls",
    "llama_index_messages",
    "llama_index_tools",
)
FOLDER = Path(__file__).parent
FROZEN, CHANGED, CHANGES = FOLDER / "frames", FOLDER / "frames_changed", FOLDER / "changes.json"
DECISIONS = frozenset(range(10, 22))

Golden = dict[str, list[Any]]


def all_cases() -> list[Case]:
    """Every case, by area. Two of one name in one area are an error."""
    made: list[Case] = []
    for area in AREAS:
        cases: list[Case] = importlib.import_module(f"tests.golden.cases.{area}").CASES.made
        names = [case.name for case in cases]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"expected one case of each name in {area!r}, got several of {sorted(twice)}")
        made += cases
    return made


@dataclass(frozen=True)
class Change:
    """Why a case's frames differ from the frozen ones."""

    decision: int
    reason: str


def load_changes() -> dict[tuple[str, str], Change]:
    """``changes.json``: a list of ``{"decision", "reason", "cases": {area: [name]}}``, by area and name."""
    made: dict[tuple[str, str], Change] = {}
    for entry in json.loads(CHANGES.read_text("utf-8")):
        change = Change(entry["decision"], entry["reason"])
        if change.decision not in DECISIONS:
            raise ValueError(f"expected a decision from 10 to 21, got {change.decision!r} ({change.reason})")
        for area, names in entry["cases"].items():
            made |= {(area, name): change for name in names}
    return made


def load(folder: Path, area: str) -> Golden:
    """The frames of an area's cases, by name."""
    path = folder / f"{area}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def save(folder: Path, area: str, golden: Mapping[str, Iterable[Any]]) -> None:
    """Write an area's frames: one line per frame."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{area}.json"
    if not golden:
        path.unlink(missing_ok=True)
        return
    cases = (f"{_text(name)}: [\n  {_joined(map(_text, frames))}\n]" for name, frames in golden.items())
    path.write_text("{\n" + ",\n".join(cases) + "\n}\n", "utf-8", newline="\n")


def plain(frames: Frames) -> list[Any]:
    """Recorded frames as a golden file gives them back. Equal frames are the same text, the order of keys included."""
    made: list[Any] = json.loads(_text(frames))
    return made


def same(one: list[Any], other: list[Any]) -> bool:
    """Whether two cases have the same frames, to the order of the keys."""
    return _text(one) == _text(other)


def difference(frozen: list[Any], sent: list[Any]) -> str:
    """A readable difference: one line per key, and a remark if nothing but an order of keys has changed."""
    remark = "" if _sorted(frozen) != _sorted(sent) else "(only the order of keys or settings differs)\n"
    lines = difflib.unified_diff(_pretty(frozen), _pretty(sent), "golden", "sent", lineterm="", n=4)
    return remark + "\n".join(lines)


def _pretty(frames: list[Any]) -> list[str]:
    return "\n".join(json.dumps(frame, ensure_ascii=False, indent=1) for frame in frames).split("\n")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _joined(lines: Iterable[str]) -> str:
    return ",\n  ".join(lines)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        made = {name: _sorted(item) for name, item in sorted(value.items())}
        if isinstance(fields := made.get("fields"), list):
            made["fields"] = sorted(fields, key=_text)
        return made
    return [_sorted(item) for item in value] if isinstance(value, list) else value
