"""Faults × moments × ways in: every cell must end in time, with the right error or the exact answer, and leave nothing.

``python -m benchmarks.reliability.matrix --loop uvloop --part 0/4`` runs a part. It prints a line of JSON for each
wrong cell, one for what it was when it was run once more, and one for the sum.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lmstudio_integrations import Timeout, errors

from .faults import CHANNEL, FAULTS, Effect, Fault
from .leftovers import Leftovers
from .server import FRAGMENTS, TEXT, Plan, RawServer
from .ways import WAYS, Seen, Way

__all__ = ["Cell", "Verdict", "cells", "expected_errors", "run_cells"]

_LIMIT = 0.7
_PATIENCE = 20.0
_LONGEST_ERROR = 4000
LIMITS = Timeout(connect=_LIMIT, first_packet=_LIMIT, idle=_LIMIT, load=_LIMIT, reconnect=2.0)

_MOMENTS = {
    "chat": ("upgrade", "auth", "load", "load_mid", "load_final", "before_first", "prompt", "fragments", "before_final",
             "after_final", "after_close"),
    "tools": ("upgrade", "auth", "load", "before_first", "prompt", "fragments", "tool", "before_final", "after_final"),
    "embed": ("upgrade", "auth", "load", "load_mid", "before_first", "answers", "after_final"),
    "load": ("upgrade", "auth", "load", "load_mid", "load_final"),
    "rpc": ("upgrade", "auth", "load", "rpc"),
}  # fmt: skip
_AFTER = ("load_final", "after_final", "after_close")
_HALF_OPEN = "half-open socket"
# Before the authentication's reply any frame is taken for that reply, so only what ends the socket makes sense there.
_AT_AUTHENTICATION = (Effect.LOST,)
_RECEIVED = {"fragments": "".join(FRAGMENTS[:3]), "tool": TEXT, "before_final": TEXT}


@dataclass(frozen=True)
class Cell:
    """One fault, at one moment, through one way in."""

    fault: Fault
    moment: str
    way: Way

    def __str__(self) -> str:
        return f"{self.fault.name} | {self.moment} | {self.way.name}"


@dataclass(frozen=True)
class Verdict:
    """``problem`` is empty for a right cell."""

    cell: Cell
    problem: str
    seconds: float


def cells() -> Iterator[Cell]:
    """Every cell that makes sense."""
    for fault in FAULTS:
        for way in WAYS:
            for moment in _MOMENTS[way.kind]:
                if _makes_sense(fault, moment):
                    yield Cell(fault, moment, way)


def _makes_sense(fault: Fault, moment: str) -> bool:
    if fault.moments is not None:
        return moment in fault.moments
    if moment == "upgrade":
        return fault.name in ("end of stream", "reset")
    if moment == "auth":
        return fault.effect in _AT_AUTHENTICATION or fault.name in (_HALF_OPEN, "byte by byte", "pings and pongs")
    if moment in _AFTER and fault.effect in (Effect.ERROR, Effect.UNLOADED):
        return False
    return fault.effect is not Effect.REJECTED or moment in ("load", "before_first", "rpc")


def expected_errors(cell: Cell) -> tuple[type[BaseException], ...]:
    """The classes one of which must be raised; none if the answer must be complete and exact."""
    fault, moment, kind = cell.fault, cell.moment, cell.way.kind
    begun = moment in ("prompt", "fragments", "tool", "before_final")
    match fault.effect:
        case Effect.REFUSED:
            return (errors.LMStudioConnectionError,)
        case Effect.NOT_LM_STUDIO:
            return (errors.LMStudioConnectionError if moment == "upgrade" else errors.LMStudioProtocolError,)
        case Effect.DENIED:
            return (errors.LMStudioAuthenticationError,)
        case Effect.LOST | Effect.STOPPED if begun:
            return (errors.LMStudioDisconnectedError,)
        case Effect.SILENT if kind == "embed" and moment == "before_first" and fault.moments is not None:
            return (errors.LMStudioProtocolError,)  # what is a packet of a channel is the result of this call
        case Effect.SILENT if moment not in _AFTER or (fault.name == _HALF_OPEN and _more_follows(cell)):
            return (errors.LMStudioTimeoutError,)
        case Effect.NO_FINAL:
            return (errors.LMStudioProtocolError if kind == "embed" else errors.LMStudioIncompleteError,)
        case Effect.ERROR:
            return (errors.LMStudioServerError,)
        case Effect.UNLOADED if begun or moment in ("load", "load_mid"):
            return (errors.LMStudioModelUnloadedError,)
        case Effect.REJECTED:
            return (errors.LMStudioRequestRejectedError,)
        case Effect.HARMLESS if kind == "embed" and moment == "before_first" and fault.moments is CHANNEL:
            return (errors.LMStudioProtocolError,)  # as above
        case _:
            return ()


def _more_follows(cell: Cell) -> bool:
    """Whether the call has another request to make on the socket after this moment."""
    if cell.moment == "after_final":
        return cell.way.name.endswith(".act")  # its next round
    return cell.moment == "load_final" and cell.way.kind != "load"


def run_cells(chosen: Sequence[Cell]) -> Iterator[Verdict]:
    """Run cells one after the other, each with connections of its own to one server."""
    leftovers = Leftovers()
    with RawServer() as server:
        for number, cell in enumerate(chosen):
            started = time.monotonic()
            problem = _run(server, leftovers, cell, f"{server.url}/cell{number}")
            yield Verdict(cell, problem, time.monotonic() - started)
            if problem.startswith("did not end"):
                return


def _run(server: RawServer, leftovers: Leftovers, cell: Cell, url: str) -> str:
    server.plan = plan = Plan(cell.moment, cell.fault.act, 1 if cell.fault.once else 10**9)
    server.embedded.clear()
    seen = _attempt(cell.way, url)
    if seen is None:
        return f"did not end within {_PATIENCE:g} s: {_stacks()}"
    problem = _judge(cell, seen)
    if not server.wait_until(lambda: plan.hits > 0, 5.0):
        problem = problem or "the fault was not met"
    server.plan = None
    for attempt in range(2):
        again = _attempt(cell.way, url)
        if again is None:
            return problem or f"the next call did not end within {_PATIENCE:g} s: {_stacks()}"
        # Right after traffic a half-open socket cannot be told from one that waits: the next call finds out.
        may_fail = cell.fault.name == _HALF_OPEN and attempt == 0
        if again.error is None and again.answer == cell.way.expected:
            break
        if not (may_fail and isinstance(again.error, errors.LMStudioTimeoutError)):
            problem = problem or f"the next call: {_words(again)}"
            break
    while server.stopping:
        time.sleep(0.05)
    left = leftovers.after(url)
    if not server.wait_closed(8.0):
        left.append(f"{len(server.peers)} sockets at the server")
    return problem or "; ".join(left)


def _attempt(way: Way, url: str) -> Seen | None:
    """What the way saw; ``None`` if it does not end."""
    seen = Seen()

    def run() -> None:
        try:
            way.run(url, LIMITS, seen)
        except BaseException as error:  # noqa: BLE001  # judged below
            seen.error = error

    thread = threading.Thread(target=run, name="Thread-way", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return None if thread.is_alive() else seen


def _judge(cell: Cell, seen: Seen) -> str:
    classes = expected_errors(cell)
    if not classes:
        if seen.error is not None or seen.answer != cell.way.expected:
            return f"expected the answer, got {_words(seen)}"
        if cell.way.streams and "".join(seen.pieces) != TEXT:
            return f"the pieces are not the text: {seen.pieces}"
        return ""
    if not isinstance(seen.error, classes):
        return f"expected {' or '.join(one.__name__ for one in classes)}, got {_words(seen)}"
    if len(str(seen.error)) > _LONGEST_ERROR:
        return f"an error of {len(str(seen.error))} characters"
    if cell.way.kind in ("chat", "tools"):
        received = _RECEIVED.get(cell.moment, "")
        if cell.way.streams and "".join(seen.pieces) != received:
            return f"of {received!r} the stream gave {seen.pieces}"
        partial = getattr(seen.error, "partial", None)
        if received and (partial is None or partial.content != received):
            return f"of {received!r} the error keeps {partial!r}"
    return ""


def _words(seen: Seen) -> str:
    if seen.error is None:
        return f"the answer {str(seen.answer)[:200]!r}"
    lines = traceback.format_exception_only(seen.error)
    return f"{''.join(lines).strip()[:400]}"


def _stacks() -> str:
    frames = sys._current_frames()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    wanted = [ident for ident, name in names.items() if name.startswith(("Thread-way", "lmstudio"))]
    return " || ".join("".join(traceback.format_stack(frames[ident])[-6:]) for ident in wanted if ident in frames)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one part of the matrix."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.matrix", description=__doc__)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--part", default="0/1", help="which part of how many")
    parser.add_argument("--only", default="", help="cells whose name contains this")
    parser.add_argument("--skip", type=int, default=0, help="cells of the part that were run before")
    options = parser.parse_args(arguments)
    if options.loop == "asyncio":
        sys.modules["uvloop"] = None  # type: ignore[assignment]  # the I/O thread falls back to asyncio's own loop
    part, parts = map(int, options.part.split("/"))
    words = options.only.split(",")
    chosen = [cell for cell in cells() if all(word in str(cell) for word in words)][part::parts][options.skip :]
    with contextlib.suppress(ImportError):  # imported here, so that no cell's time limits count it
        import lmstudio_integrations.langchain.chat_model
        import lmstudio_integrations.langchain.embeddings
        import lmstudio_integrations.langchain.llm
        import lmstudio_integrations.llama_index.embedding
        import lmstudio_integrations.llama_index.llm  # noqa: F401
    done = right = 0
    wrong: list[Cell] = []
    for verdict in run_cells(chosen):
        done += 1
        right += not verdict.problem
        if verdict.problem:
            wrong.append(verdict.cell)
            _tell({"cell": str(verdict.cell), "problem": verdict.problem, "seconds": round(verdict.seconds, 2)})
        elif done % 100 == 0:
            _tell({"progress": done, "of": len(chosen)})
    # A busy machine may exceed a cell's time limits, so wrong ones are run once more.
    for verdict in run_cells(wrong):
        _tell({"again": str(verdict.cell), "problem": verdict.problem})
    _tell({"sum": {"cells": done, "right": right, "loop": options.loop, "of": len(chosen)}})
    sys.stdout.flush()
    os._exit(0)


def _tell(line: Any) -> None:
    print(json.dumps(line, ensure_ascii=False), flush=True)  # noqa: T201  # for the runner


if __name__ == "__main__":
    raise SystemExit(main())
