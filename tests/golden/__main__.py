"""``python -m tests.golden``: write the golden frames, or (``--report``) count them.

Without options: runs every case. A case without frozen frames gets them now; a case that is listed in ``changes.json``
gets its frames of today in ``frames_changed``; any other difference is shown and left for the test to fail on. Frozen
frames are never replaced, except by ``--freeze``, which is for the code from before a rebuild.
"""

# ruff: noqa: T201  # a command line program prints

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any

from tests.golden import store
from tests.golden.recorder import record


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description="Golden frames of every public call.")
    parser.add_argument("--freeze", action="store_true", help="replace the frozen frames by those of this code")
    parser.add_argument("--report", action="store_true", help="count cases, frames and changes; writes nothing")
    parser.add_argument("--only", default="", help="only cases with this text in 'area: name'; writes nothing")
    options = parser.parse_args()
    if options.report:
        report()
        return 0
    return write(freeze=options.freeze, only=options.only)


def write(*, freeze: bool, only: str) -> int:
    """Run the cases and bring the files up to date. 1 if frames differ that are not listed."""
    changes = {} if freeze else store.load_changes()
    unexplained = 0
    for area in store.AREAS:
        known = {} if freeze else store.load(store.FROZEN, area)
        frozen: dict[str, Any] = {}
        changed: dict[str, Any] = {}
        for case in store.all_cases():
            if case.area != area or only not in f"{area}: {case.name}":
                continue
            sent = store.plain(record(case))
            frozen[case.name] = known.get(case.name, sent)
            if (area, case.name) in changes:
                changed[case.name] = sent
            elif not store.same(frozen[case.name], sent):
                unexplained += 1
                print(f"\n{area}: {case.name}\n{store.difference(frozen[case.name], sent)}")
        if not only:
            store.save(store.FROZEN, area, frozen)
            store.save(store.CHANGED, area, changed)
    if freeze and not only:
        store.CHANGES.write_text("[]\n", "utf-8")
    print(f"\n{unexplained} cases differ without a decision" if unexplained else "no case differs without a decision")
    return int(unexplained > 0)


def report() -> None:
    """Print how many cases and frames there are, and how many have changed, by decision."""
    changes = store.load_changes()
    frames: Counter[str] = Counter()
    for area in store.AREAS:
        golden = store.load(store.FROZEN, area)
        count = sum(sender != "raised" for sent in golden.values() for sender, _ in sent)
        frames["cases"] += len(golden)
        frames["frames"] += count
        print(f"{area:22}{len(golden):5} cases {count:6} frames")
    print(f"{'together':22}{frames['cases']:5} cases {frames['frames']:6} frames; {len(changes)} cases changed")
    by_change = Counter(changes.values())
    for change in sorted(by_change, key=lambda change: (change.decision, change.reason)):
        print(f"  number {change.decision}: {by_change[change]:3} cases: {change.reason}")


if __name__ == "__main__":
    sys.exit(main())
