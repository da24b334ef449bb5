"""Times are divided by how long the probe took around them."""

from __future__ import annotations

import pytest

from benchmarks import machine_speed
from benchmarks.machine_speed import SpeedMeter, probe_ms


def test_probe_does_its_work_and_takes_time() -> None:
    assert probe_ms() > 0


def test_slowness_is_the_mean_of_the_probes_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([1.0, 1.0, 9.0, 2.0, 0.1, 2.0, 4.0, 4.0, 4.0])
    monkeypatch.setattr(machine_speed, "probe_ms", lambda: next(taken))
    meter = SpeedMeter()
    assert [meter.slowness(), meter.slowness()] == [1.5, 3.0]
    assert meter.probes == [1.5, 3.0]
