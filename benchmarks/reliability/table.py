"""The figures of the long form as the part of ``docs/reliability.md`` between its two marks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .checks import SECTIONS

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
    parts = [_totals(found), "\n".join(lines)]
    parts += [_details(section, found[section]) for section in _TITLES if section in found]
    return "\n\n".join(part for part in parts if part)


def _totals(found: dict[str, Any]) -> str:
    """The sums over all sections and Pythons, in a few sentences."""
    pythons = (found, *found.get("beside", {}).values())
    matrix = [run for kept in pythons if "matrix" in kept for run in kept["matrix"]["runs"]]
    chaos = [kept["chaos"] for kept in pythons if "chaos" in kept]
    fuzz = [run for kept in pythons for run in _parts(kept.get("fuzz"))]
    load = [run for kept in pythons for run in _parts(kept.get("load"))]
    checks = [kept[section] for kept in pythons for section in SECTIONS if section in kept]
    wrong = sum(run.get("wrong count", len(run["wrong"])) for run in (*matrix, *chaos, *fuzz, *load, *checks))

    def total(runs: list[dict[str, Any]], *keys: str) -> str:
        return f"{sum(run.get(key, 0) for run in runs for key in keys):,}"

    network = [run["network"] for run in chaos]
    return (
        f"In all: {total(matrix, 'cells')} cells of the fault matrix; {total(chaos, 'predictions', 'embeddings')} "
        f"answers over {total(network, 'connections')} connections of a chaotic network, {total(network, 'bytes')} "
        f"bytes; {total(fuzz, 'frames')} mutated frames, {total(fuzz, 'bytes')} bytes; "
        f"{total(load, 'streams', 'calls', 'clients', 'predictions')} predictions under load; {total(checks, 'cells')} "
        f"other checks, with {total([run.get('counts', {}) for run in checks], 'restarts')} restarts of a killed "
        f"server. Wrong: {wrong:,}."
    )


def _parts(outcome: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The runs of a section that has several."""
    return [run for run in (outcome or {}).values() if isinstance(run, dict)]


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
        network = ", ".join(f"{count:,} {word}" for word, count in outcome["network"].items())
        yield f"| {name} | the network, seed {outcome['seed']}: {network} | | {when} | |"
    elif section == "fuzz":
        words = {"pure": "server frames, pure reader", "live": "server frames, socket", "emulator": "client frames"}
        for kind, run in ((kind, outcome[kind]) for kind in words if kind in outcome):
            right = f"{run['frames'] - run['wrong count']:,} of {run['frames']:,}"
            what = f"{words[kind]}, seed {run['seed']}: {run['bytes']:,} bytes"
            yield f"| {name} | {what} | {right} | {when} | {run['seconds'] / 60:.1f} |"
    elif section == "load":
        for what, run in outcome.items():
            if isinstance(run, dict):
                size = next(value for key, value in run.items() if key not in ("wrong", "wrong count"))
                more = ", ".join(f"{key} {run[key]:,}" for key in run if key.endswith(" more"))
                right = "no" if run["wrong"] else "yes"
                yield f"| {name} | {what}: {size:,} ({more}) | {right} | {when} | {run['seconds'] / 60:.1f} |"
    else:
        what = ", ".join(("checks", *(f"{count} {word}" for word, count in outcome.get("counts", {}).items())))
        yield f"| {name} | {what} | {outcome['right']} of {outcome['cells']} | {when} | {outcome['minutes']} |"


def _details(section: str, outcome: dict[str, Any]) -> str:
    if section in ("security", "processes", "kills", "bounds"):
        checks = "\n".join(f"* {check}" for check in outcome["checks"])
        return f"## {_TITLES[section]}\n\n{checks}"
    return ""
