"""The result as a page of markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .rows import Row


def _number(value: float | None) -> str:
    if value is None:
        return "not measured"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _limits(row: Row) -> str:
    word = "at least" if row.limits[0].at_least else "at most"
    return f"{word} " + "; ".join(
        f"{'below ' if limit.strict else ''}{_number(limit.value)} ({limit.because})" for limit in row.limits
    )


def markdown(rows: list[Row], about: Mapping[str, Any], turns: Mapping[str, Any]) -> str:
    """The page: what ran where, the table, and the conversations of the prompt cache."""
    missed = [row.what for row in rows if row.met is False]
    lines = [
        "# Results",
        "",
        f"Measured on {about['date']}: {about['rounds']} rounds, each contender in turn; medians.",
    ]
    lines += [f"Machine: {about['machine']}. {about['load']} {about['speed']}".rstrip(), ""]
    lines += ["| what | here | limit | met |", "|---|---|---|---|"]
    for row in rows:
        met = {True: "yes", False: "**no**", None: "–"}[row.met]
        figure = f"{_number(row.figure)} {row.unit}".strip()
        beside = f"<br>{row.beside}" if row.beside else ""
        lines.append(f"| {row.what} | {figure}{beside} | {_limits(row)} | {met} |")
    lines += ["", f"Missed: {'; '.join(missed)}." if missed else "Every limit is met.", ""]
    for name, values in turns.items():
        if "calls" in values:
            lines += _conversation(name, values["calls"])
    lines += [
        "Versions: " + ", ".join(f"{name} {version}" for name, version in sorted(about["versions"].items())) + "."
    ]
    return "\n".join(lines) + "\n"


def _conversation(name: str, calls: list[dict[str, Any]]) -> list[str]:
    lines = [f"The {name} agent's requests to the model, one after the other:", ""]
    lines += ["| prompt tokens | from the cache | of the previous prompt |", "|---|---|---|"]
    for call in calls:
        share = "–" if call["share"] is None else f"{call['share']:.1%}"
        lines.append(f"| {call['prompt']} | {call['cached']} | {share} |")
    return [*lines, ""]
