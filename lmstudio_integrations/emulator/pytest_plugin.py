"""The pytest fixture ``lmstudio_emulator``: a new emulator for each test.

The marker ``lmstudio_emulator`` takes the arguments of ``Emulator`` by keyword. With ``environment=True`` it also sets
``LMSTUDIO_BASE_URL`` for the test (and ``LMSTUDIO_API_TOKEN``, if there is a token), which applications read to find LM
Studio. The markers of a module, a class and a test are combined; if two give the same argument, that of the test
precedes that of the class, and that of the class that of the module.

Options of pytest's configuration file set the same arguments for all tests:

==============================  ================================================================================
``lmstudio_emulator_models``    one loaded model per line: ``qwen/qwen3-4b``, or ``nomic-embed embedding``
``lmstudio_emulator_replies``   one scripted text per line; each test begins with all of them
``lmstudio_emulator_token``     the API token that clients need
``lmstudio_emulator_strict``    ``scripted`` (default), ``true`` or ``false``
``lmstudio_emulator_environment``  ``true`` sets the environment variables for each test that uses the fixture
==============================  ================================================================================

By default (``scripted``) the fixture is strict from the first scripted reply on: a prediction without a reply is an
error, and replies and faults that were not used fail the test at its end, unless it has failed already. A test that
scripts nothing gets made-up answers. With ``true`` made-up answers are errors in every test, with ``false`` in none.

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

pytest imports this module in every run, also in runs that do not use the fixture. So it imports only pytest; the
emulator is imported by the fixture.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

if TYPE_CHECKING:
    from lmstudio_integrations.emulator import Emulator


_INI: dict[str, tuple[str, Literal["string", "linelist", "bool"], Any]] = {
    "models": (
        "the loaded models, one per line: the key, and 'embedding' if it is an embedding model",
        "linelist",
        None,
    ),
    "replies": ("texts that are scripted for each test, one per line", "linelist", None),
    "token": ("the API token that clients must send (sk-lm-…)", "string", None),
    "strict": (
        "scripted (default), true or false: whether unused replies and predictions without one are errors",
        "string",
        "scripted",
    ),
    "environment": ("whether LMSTUDIO_BASE_URL is set for tests that use the fixture", "bool", False),
}
_FAILED: pytest.StashKey[bool] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options ``lmstudio_emulator_…`` of pytest's configuration file."""
    for name, (words, kind, default) in _INI.items():
        parser.addini(f"lmstudio_emulator_{name}", f"fixture lmstudio_emulator: {words}", type=kind, default=default)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "lmstudio_emulator(**arguments): arguments of lmstudio_integrations.emulator.Emulator for the fixture "
        "lmstudio_emulator; environment=True sets LMSTUDIO_BASE_URL",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Store whether the test, or a fixture before it, has failed: unused replies are no error then."""
    if call.when != "teardown":
        item.stash[_FAILED] = call.excinfo is not None
    return (yield)


@pytest.fixture
def lmstudio_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A running emulator with the arguments of marker and configuration file; stopped after the test.

    Strict from the first scripted reply on (option ``lmstudio_emulator_strict``): a prediction without a reply is an
    error, and unused replies and faults fail the test.

    Raises:
        LMStudioValueError: An argument of the marker, or an option of the configuration file, is wrong.
        AssertionError: At the end of the test, if the emulator was not used as scripted.
    """
    from lmstudio_integrations.emulator.server import Emulator

    arguments = {**_configured(request.config), **_marked(request.node)}
    environment = arguments.pop("environment")
    server = Emulator(**arguments).start()
    try:
        if environment:
            monkeypatch.setenv("LMSTUDIO_BASE_URL", server.url)
            if arguments.get("api_token") is not None:
                monkeypatch.setenv("LMSTUDIO_API_TOKEN", arguments["api_token"])
        yield server
        if not request.node.stash.get(_FAILED, False):
            server.raise_for_unused()
    finally:
        server.stop()


def _configured(config: pytest.Config) -> dict[str, Any]:
    """The arguments from the configuration file."""
    from lmstudio_integrations.emulator.argument_checks import choice
    from lmstudio_integrations.emulator.models import EmulatedModel
    from lmstudio_integrations.emulator.replies import Reply

    given = {name: config.getini(f"lmstudio_emulator_{name}") for name in _INI}
    strict = str(given["strict"]).lower()
    choice("scripted", "true", "false")("lmstudio_emulator_strict", strict)
    arguments: dict[str, Any] = {"strict": strict if strict == "scripted" else strict == "true"}
    arguments["environment"] = given["environment"]
    if given["models"]:
        pairs = [line.partition(" ") for line in given["models"]]
        arguments["models"] = [EmulatedModel(key, cast("Any", kind.strip() or "llm"), True) for key, _, kind in pairs]
    if given["replies"]:
        arguments["replies"] = [Reply(line) for line in given["replies"]]
    if given["token"]:
        arguments["api_token"] = given["token"]
    return arguments


def _marked(node: pytest.Item) -> dict[str, Any]:
    """The arguments from the markers; the nearest marker wins."""
    import inspect

    from lmstudio_integrations.emulator.argument_checks import check_name, flag, unexpected
    from lmstudio_integrations.emulator.server import Emulator

    known = ("environment", *inspect.signature(Emulator).parameters)
    arguments: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers("lmstudio_emulator"))):
        if marker.args:
            raise unexpected("the marker lmstudio_emulator", "keywords, such as models=[…]", marker.args)
        for name in marker.kwargs:
            check_name("argument of the marker lmstudio_emulator", name, known)
        arguments.update(marker.kwargs)
    if "environment" in arguments:
        flag("the marker lmstudio_emulator(environment=…)", arguments["environment"])
    return arguments
