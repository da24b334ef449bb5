"""``python -m benchmarks``: the peers and us, side by side. Writes a table, its figures and a picture.

Needs Python 3.11 or newer, with uv or pip, and nothing else: environments are made in ``benchmarks/.cache``.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import environments, imports, table
from .machine_speed import STANDARD_MS
from .plan import KINDS, Sizes, Task, tasks
from .rows import rows

_ROOT = environments.ROOT
_PATIENCE = 900
_BUSY = 2.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; 0 even where a limit is missed, 1 if a contender did not finish."""
    options = _options(arguments)
    sizes = Sizes(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Sizes)})
    plan = tasks(sizes, tuple(options.only or KINDS), peers=not options.without_peers)
    begun = _load()
    measured = _run(plan, options.rounds, options.python)
    found = {kind: {name: median(rounds) for name, rounds in by_name.items()} for kind, by_name in measured.items()}
    failed = [f"{kind}: {task.name}" for task in plan for kind in task.kinds if task.name not in found.get(kind, {})]
    about = _about(options, plan, (begun, _load())) | {"speed": speed_words(measured)}
    results = {"about": about, "figures": found, "failed": failed, "rounds": measured}
    _write(results, options.out, environments.python_of("ours", ours=options.python))
    return 1 if failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs, in turn (default: 5)")
    parser.add_argument("--only", action="append", choices=KINDS, help="measure this kind alone; may be repeated")
    parser.add_argument("--without-peers", action="store_true", help="this package and the floors alone")
    parser.add_argument("--python", type=Path, help="an interpreter that has this package with all its extras")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for the results")
    for field in dataclasses.fields(Sizes):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=int, default=field.default, help=f"default: {field.default}")
    return parser.parse_args(arguments)


Measured = dict[str, dict[str, list[dict[str, Any]]]]
"""Kind of measurement -> name -> the figures of each round."""


def _run(plan: list[Task], rounds: int, ours: Path | None) -> Measured:
    """Every task, round after round."""
    pythons = {name: environments.python_of(name, ours=ours) for name in {task.environment for task in plan}}
    measured: Measured = {}
    for number in range(rounds):
        with flood(pythons.get("ours") or environments.python_of("ours", ours=ours)) as port:
            for task in plan:
                if number and not task.every_round:
                    continue
                for kind, outcome in zip(task.kinds, _measure(task, pythons[task.environment], port), strict=False):
                    _print(f"round {number + 1}/{rounds} {kind}: {task.name}: {_brief(outcome)}")
                    measured.setdefault(kind, {}).setdefault(task.name, []).append(outcome)
    return measured


def _measure(task: Task, python: Path, port: int) -> list[dict[str, Any]]:
    """A task's figures, in the order of its kinds; fewer if it did not finish."""
    if task.kinds == ("imports",):
        outcome = imports.measure(python, task.name, _ROOT)
        return [] if outcome is None else [outcome]
    server = [str(port)] if task.needs_server else []
    command = [str(python), "-W", "ignore", "-m", f"benchmarks.{task.module}", task.name, *server]
    command += map(str, task.arguments)
    try:
        done = subprocess.run(  # noqa: S603  # our own modules, no shell
            command, check=False, cwd=_ROOT, capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        _print(f"{task.name}: did not finish within {_PATIENCE} s")
        return []
    if done.returncode:
        _print(f"{task.name}: did not finish\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@contextmanager
def flood(python: Path) -> Iterator[int]:
    """The server, in a process of its own: its port."""
    command = [str(python), "-m", "benchmarks.flood"]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


def median(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each number; what is no number is that of the first round. ``right`` is the worst of all."""
    merged = dict(outcomes[0])
    for key, value in merged.items():
        if isinstance(value, (int, float)):
            values = [outcome[key] for outcome in outcomes]
            middle = min(values) if key == "right" else statistics.median(values)
            merged[key] = int(middle) if middle == int(middle) else round(middle, 3)
    return merged


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def load_words(load: tuple[float | None, float | None]) -> str:
    """How busy the machine was with other things; the benchmarks themselves make a load of 1 to 2."""
    begun, ended = load
    if begun is None or ended is None:
        return ""
    words = f"Its load average was {begun:.1f} at the start and {ended:.1f} at the end."
    return words if max(begun, ended) < _BUSY else f"{words} It was busy with other things: times are noisy."


def speed_words(measured: Measured) -> str:
    """How much the machine's speed varied in the run, before the times were scaled to one speed."""
    probes = [
        outcome["probe_ms"]
        for by_name in measured.values()
        for outcomes in by_name.values()
        for outcome in outcomes
        if "probe_ms" in outcome
    ]
    if not probes:
        return ""
    return (
        f"Times are those of a machine on which the speed probe takes {STANDARD_MS} ms; in this run it took "
        f"{min(probes):.2f} to {max(probes):.2f} ms, the median was {statistics.median(probes):.2f} ms."
    )


def _about(options: argparse.Namespace, plan: list[Task], load: tuple[float | None, float | None]) -> dict[str, Any]:
    cores = os.cpu_count()
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "rounds": options.rounds,
        "machine": f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}",
        "load": load_words(load),
        "versions": {
            name: version
            for environment in (*environments.PEERS, "ours")
            if environment == "ours" or any(task.environment == environment for task in plan)
            for name, version in environments.versions(environments.python_of(environment, ours=options.python)).items()
        },
    }


def _write(results: dict[str, Any], out: Path, python: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    figures = results["figures"]
    made = rows(figures)
    results["rows"] = [
        {"what": row.what, "figure": row.figure, "unit": row.unit, "met": row.met}
        | {"limits": [dataclasses.asdict(limit) for limit in row.limits]}
        for row in made
    ]
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page = table.markdown(made, results["about"], figures.get("prompt cache", {}))
    (out / "results.md").write_text(page, encoding="utf-8")
    if figures.get("stream"):
        command = [str(python), "-m", "benchmarks.picture", str((out / "results.json").resolve())]
        command.append(str((out / "results.png").resolve()))
        subprocess.run(command, cwd=_ROOT, check=True)  # noqa: S603
    _print(page)


def _brief(outcome: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in outcome.items() if isinstance(value, (int, float)))


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a program, and it takes minutes


if __name__ == "__main__":
    raise SystemExit(main())
