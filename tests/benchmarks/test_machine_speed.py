"""Times are divided by how long the probe took around them."""

from __future__ import annotations

import pytest

from benchmarks import machine_speed
from benchmarks.machine_speed import SpeedMeter, probe_ms


def test_probe_does_its_work_and_takes_time() -> None:
    assert probe_ms() > 0


def test_times_are_divided_by_the_mean_of_the_probes_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([1.0, 1.0, 9.0, 2.0, 0.1, 2.0, 4.0, 4.0, 4.0])
    monkeypatch.setattr(machine_speed, "probe_ms", lambda: next(taken))
    monkeypatch.setattr(machine_speed, "STANDARD_MS", 1.0)
    monkeypatch.setattr(machine_speed, "_GROUP_SECONDS", 0.0)
    meter = SpeedMeter()
    meter.add(3.0, 6.0)
    meter.add(3.0, 6.0)
    assert meter.scaled() == [(2.0, 4.0), (1.0, 2.0)]
    assert meter.probes == [1.5, 3.0]
    assert meter.probe_ms == 3.0


def test_short_repeats_have_no_probe_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(machine_speed, "probe_ms", lambda: next(taken))
    monkeypatch.setattr(machine_speed, "STANDARD_MS", 1.0)
    monkeypatch.setattr(machine_speed, "_GROUP_SECONDS", float("inf"))
    meter = SpeedMeter()
    for repeat in (3.0, 6.0):
        meter.add(repeat)
    assert meter.scaled() == [(2.0,), (4.0,)]
    assert meter.probes == [1.5]
