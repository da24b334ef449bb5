"""How much memory this process holds."""

from __future__ import annotations

import gc
import os
from pathlib import Path

_STATM = Path("/proc/self/statm")


def resident() -> int | None:
    """Bytes in physical memory after a garbage collection; ``None`` where the system has no ``/proc``."""
    gc.collect()
    if not _STATM.exists():
        return None
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(before: int | None, after: int | None) -> int | None:
    """Bytes between two measurements."""
    return None if before is None or after is None else after - before
