"""Every public call still sends its golden frames; each difference is named with the decision that asks for it."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.golden import store
from tests.golden.recorder import Case, record

pytestmark = pytest.mark.slow  # the frames are those of the newest frameworks, so once is enough

CASES = store.all_cases()
CHANGES = store.load_changes()


@cache
def _golden(folder: str, area: str) -> dict[str, Any]:
    return store.load(store.FOLDER / folder, area)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.area}: {case.name}")
def test_case_sends_its_golden_frames(case: Case) -> None:
    changed = CHANGES.get((case.area, case.name))
    golden = _golden("frames" if changed is None else "frames_changed", case.area)
    assert case.name in golden, "no golden frames yet: run python -m tests.golden"
    sent = store.plain(record(case))
    if not store.same(golden[case.name], sent):
        pytest.fail(
            f"{case.area}: {case.name}\n{store.difference(golden[case.name], sent)}\n"
            "If a decision asks for this, list the case in changes.json and run python -m tests.golden",
            pytrace=False,
        )


def test_golden_files_hold_exactly_the_cases() -> None:
    for area in store.AREAS:
        names = [case.name for case in CASES if case.area == area]
        assert sorted(_golden("frames", area)) == sorted(names)
        assert set(_golden("frames_changed", area)) == {name for listed, name in CHANGES if listed == area}


def test_listed_changes_differ_from_the_frozen_frames() -> None:
    idle = [
        f"{area}: {name}"
        for area, name in CHANGES
        if store.same(_golden("frames", area)[name], _golden("frames_changed", area)[name])
    ]
    assert not idle, "these cases are listed in changes.json, and their frames are the frozen ones"
