"""A short form of ``python -m benchmarks.reliability``: the same programs with few cells, frames and calls."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.reliability import bounds, security, versions
from benchmarks.reliability.chaos import run_chaos
from benchmarks.reliability.checks import Check, title
from benchmarks.reliability.faults import FAULTS, Effect
from benchmarks.reliability.fuzz import fuzz_live, fuzz_pure
from benchmarks.reliability.load import many_clients, streams_on_one_socket, threads_times_calls, with_cancels
from benchmarks.reliability.matrix import Cell, cells, run_cells
from benchmarks.reliability.processes import CHECKS as PROCESSES

SEED = 20261126
pytestmark = pytest.mark.usefixtures("no_settings_from_outside")

ROOT = Path(__file__).parents[2]
# Cells that wait for a time limit take a second each, so few of them are here.
_SLOW = (Effect.SILENT, Effect.STOPPED)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What the servers send on purpose is logged by the thousand."""
    logger = logging.getLogger("lmstudio_integrations")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def _sample(every: int, *, slow: bool) -> list[Cell]:
    """Each fault at least once, by ways that change from fault to fault."""
    chosen = [cell for cell in cells() if (cell.fault.effect in _SLOW) is slow]
    return chosen[::every]


def _wrong(chosen: list[Cell]) -> list[str]:
    """The cells that are wrong twice: as in the long form, a busy machine may exceed the limit of a cell once."""
    wrong = [verdict.cell for verdict in run_cells(chosen) if verdict.problem]
    assert len(wrong) <= 1 + len(chosen) // 50, (
        f"{len(wrong)} of {len(chosen)} are wrong, more than a busy machine explains"
    )
    return [f"{verdict.cell}: {verdict.problem}" for verdict in run_cells(wrong) if verdict.problem]


def test_cells_of_the_matrix_are_right() -> None:
    chosen = _sample(61, slow=False)
    assert len(chosen) > 150
    assert {cell.fault for cell in chosen} >= {one for one in FAULTS if one.effect is Effect.LOST}
    assert _wrong(chosen) == []


def test_cells_of_the_matrix_that_meet_time_limits_are_right() -> None:
    chosen = _sample(300, slow=True)
    assert len(chosen) >= 4
    assert _wrong(chosen) == []


def test_chaotic_network_loses_and_mixes_nothing() -> None:
    figures = run_chaos(SEED, 300, 300)
    assert figures["wrong"] == []
    assert sum(figures["prediction outcomes"].values()) == 300
    assert figures["prediction outcomes"]["complete"] > 100
    assert sum(figures["network"].get(end, 0) for end in ("reset", "half-close", "swallow")) > 0


def test_fuzzed_server_frames_raise_only_errors_of_the_package() -> None:
    figures = fuzz_pure(SEED, 5000)
    assert figures["wrong"] == []
    assert figures["errors"]


def test_fuzzed_server_frames_on_a_socket_leave_the_client_working() -> None:
    figures = fuzz_live(SEED, 400)
    assert figures["wrong"] == []
    assert figures["errors"]


def test_load_leaves_nothing_and_mixes_nothing() -> None:
    assert streams_on_one_socket(100)["wrong"] == []
    assert threads_times_calls(20, 5)["wrong"] == []
    assert many_clients(20)["wrong"] == []
    figures = with_cancels(300)
    assert figures["wrong"] == []
    assert figures["sockets"] <= 2


def _ids(check: Check) -> str:
    return title(check)


_BOUNDS = [check for check in bounds.CHECKS if "LlamaIndex" not in title(check)][::3]


@pytest.mark.parametrize("check", _BOUNDS, ids=_ids)
def test_bound_holds(check: Check) -> None:
    check()


@pytest.mark.parametrize("check", versions.CHECKS[::4], ids=_ids)
def test_version_works(check: Check) -> None:
    check()


@pytest.mark.parametrize("check", security.CHECKS, ids=_ids)
def test_secret_is_kept(check: Check) -> None:
    check()


_QUICK = [
    check
    for check in PROCESSES
    if any(word in title(check) for word in ("pty", "logging handler", "as the interpreter"))
]


@pytest.mark.parametrize("check", _QUICK, ids=_ids)
def test_process_ends_as_it_should(check: Check) -> None:
    check()


def test_fuzzed_client_frames_leave_the_emulator_working() -> None:
    """In a process of its own: the witnesses of this one would judge the emulator's answers to invalid frames."""
    command = [sys.executable, "-m", "benchmarks.reliability.fuzz", "--seed", str(SEED), "--pure", "0", "--live", "0"]
    done = subprocess.run(
        [*command, "--emulator", "3000"], cwd=ROOT, capture_output=True, text=True, timeout=50, check=True
    )
    assert json.loads(done.stdout)["emulator"]["wrong"] == []
