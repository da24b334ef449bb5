"""The pytest fixture ``lmstudio_emulator``: a fresh emulator for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lmstudio_integrations.emulator.server import Emulator


@pytest.fixture
def lmstudio_emulator() -> Iterator[Emulator]:
    """A running emulator with its default models; stopped after the test."""
    with Emulator() as server:
        yield server
