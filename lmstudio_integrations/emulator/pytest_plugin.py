"""The pytest fixture ``lmstudio_emulator``: a fresh emulator for each test.

The marker ``lmstudio_emulator`` takes the arguments of ``Emulator``, and ``environment=True`` sets
``LMSTUDIO_BASE_URL`` (and ``LMSTUDIO_API_TOKEN``, if there is a token) for the test, so that an application finds the
emulator as it finds LM Studio.

```python
import pytest

from lmstudio_integrations import Client
from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply


def application(url: str | None = None) -> str:
    with Client(url) as client:
        return client.llm.just_in_time("emulator/chat").respond("Hi").content


@pytest.mark.lmstudio_emulator(models=[EmulatedModel("emulator/chat", loaded=True)])
def test_answer(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("Hello"))
    assert application(lmstudio_emulator.url) == "Hello"
```

pytest imports this module in each of its runs, also where the fixture is not used: it imports nothing but pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lmstudio_integrations.emulator import Emulator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``lmstudio_emulator_strict`` of pytest's configuration file."""
    parser.addini(
        "lmstudio_emulator_strict",
        "whether the fixture lmstudio_emulator fails a test that makes more predictions than it has scripted, or "
        "leaves replies or faults unused",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "lmstudio_emulator(**arguments): arguments of lmstudio_integrations.emulator.Emulator for the fixture "
        "lmstudio_emulator; environment=True sets LMSTUDIO_BASE_URL",
    )


@pytest.fixture
def lmstudio_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A running emulator with its default models, or as the marker says; stopped after the test.

    A strict one (``strict=True`` in the marker, or ``lmstudio_emulator_strict`` in pytest's configuration file) then
    fails the test if a prediction had no reply, or a reply or fault was not used.
    """
    from lmstudio_integrations.emulator.server import Emulator

    marker = request.node.get_closest_marker("lmstudio_emulator")
    arguments = {"strict": request.config.getini("lmstudio_emulator_strict"), **(marker.kwargs if marker else {})}
    environment = arguments.pop("environment", False)
    with Emulator(**arguments) as server:
        if environment:
            monkeypatch.setenv("LMSTUDIO_BASE_URL", server.url)
            if arguments.get("api_token") is not None:
                monkeypatch.setenv("LMSTUDIO_API_TOKEN", arguments["api_token"])
        yield server
