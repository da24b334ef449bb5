"""The pytest fixture ``lmstudio_emulator``: a fresh emulator for each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .server import Emulator


@pytest.fixture
def lmstudio_emulator() -> Iterator[Emulator]:
    """A running emulator with its default models; stopped after the test."""
    from .server import Emulator  # a plugin is imported by every pytest run: cheap unless used

    with Emulator() as server:
        yield server
