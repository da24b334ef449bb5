"""The figures of the long form as the part of ``docs/reliability.md`` between its two marks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["figures_in", "markdown"]

_BEGIN, _END = "<!-- figures: written by python -m benchmarks.reliability -->", "<!-- end of figures -->"

_TITLES = {
    "matrix": "Fault matrix",
    "chaos": "Chaotic network",
    "fuzz": "Mutated frames",
    "load": "Load",
    "bounds": "Bounds",
    "versions": "Versions of LM Studio",
    "security": "Security",
    "processes": "Processes that end, are interrupted or fork",
    "kills": "A server that is killed in the midst of a batch",
}


def markdown(found: dict[str, Any]) -> str:
    """The figures."""
    lines = ["| section | what | right of | date, Python | minutes |", "|---|---|---|---|---|"]
    for section in _TITLES:
        for kept in (found, *found.get("beside", {}).values()):
            if section in kept:
                lines += _rows(section, kept[section])
    parts = ["\n".join(lines)]
    parts += [_details(section, found[section]) for section in _TITLES if section in found]
    return "\n\n".join(part for part in parts if part)


def figures_in(page: str, found: dict[str, Any]) -> str:
    """The page with these figures in place of those that it had."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n\n{markdown(found)}\n\n{_END}{after}"


def _rows(section: str, outcome: dict[str, Any]) -> Iterator[str]:
    when = f"{outcome['date']}, {outcome['python']}"
    name = _TITLES[section]
    if section == "matrix":
        for run in outcome["runs"]:
            right = f"{run['right']:,} of {run['cells']:,} cells"
            if run["first wrong"]:
                again = len(run["first wrong"]) - len(run["wrong"])
                right += f"; {again} of {len(run['first wrong'])} others when repeated"
            yield f"| {name} | {run['loop']}'s loop | {right} | {outcome['date']}, {run['python']} | {run['minutes']} |"
    elif section == "chaos":
        for kind in ("prediction", "embedding"):
            counts = outcome[f"{kind} outcomes"]
            ended = ", ".join(f"{count:,} {word}" for word, count in counts.items())
            total = outcome[f"{kind}s"]
            right = f"{total - outcome['wrong count']:,} of {total:,}"
            yield f"| {name} | {kind}s, seed {outcome['seed']}: {ended} | {right} | {when} | {outcome['minutes']} |"
    elif section == "fuzz":
        words = {"pure": "server frames, pure reader", "live": "server frames, socket", "emulator": "client frames"}
        for kind, run in ((kind, outcome[kind]) for kind in words if kind in outcome):
            right = f"{run['frames'] - run['wrong count']:,} of {run['frames']:,}"
            yield f"| {name} | {words[kind]}, seed {run['seed']} | {right} | {when} | {run['seconds'] / 60:.1f} |"
    elif section == "load":
        for what, run in outcome.items():
            if isinstance(run, dict):
                size = next(value for key, value in run.items() if key not in ("wrong", "wrong count"))
                more = ", ".join(f"{key} {run[key]:,}" for key in run if key.endswith(" more"))
                right = "no" if run["wrong"] else "yes"
                yield f"| {name} | {what}: {size:,} ({more}) | {right} | {when} | {run['seconds'] / 60:.1f} |"
    else:
        yield f"| {name} | checks | {outcome['right']} of {outcome['cells']} | {when} | {outcome['minutes']} |"


def _details(section: str, outcome: dict[str, Any]) -> str:
    if section in ("security", "processes", "kills", "bounds"):
        checks = "\n".join(f"* {check}" for check in outcome["checks"])
        return f"## {_TITLES[section]}\n\n{checks}"
    return ""
