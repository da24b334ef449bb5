"""What the tests of the client share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lmstudio_integrations.emulator import Emulator
from tests.client.client_variants import FRONTS, Front


@pytest.fixture(params=FRONTS, ids=["blocking", "awaiting"])
def front(request: pytest.FixtureRequest, lmstudio_emulator: Emulator) -> Iterator[Front]:
    """Either front, with the model ``emulator/chat`` of this test's emulator."""
    made: Any = request.param(lmstudio_emulator.url)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _environment(no_settings_from_outside: None) -> None:
    """For every test of this folder."""
