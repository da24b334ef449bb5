"""The pytest fixture ``lmstudio_emulator``: a fresh emulator for each test.

The marker ``lmstudio_emulator`` takes the arguments of ``Emulator`` by keyword, and ``environment=True`` sets
``LMSTUDIO_BASE_URL`` (and ``LMSTUDIO_API_TOKEN``, if there is a token) for the test, so that an application finds the
emulator as it finds LM Studio. The markers of a module, a class and a test add up; the nearest one wins.

The options of pytest's configuration file set the same for all tests:

==============================  ================================================================================
``lmstudio_emulator_models``    one loaded model a line: ``qwen/qwen3-4b``, or ``nomic-embed embedding``
``lmstudio_emulator_replies``   one scripted text a line, for each test anew
``lmstudio_emulator_token``     the API token that clients need
``lmstudio_emulator_strict``    ``scripted`` (default), ``true`` or ``false``
``lmstudio_emulator_environment``  ``true`` sets the environment variables for each test that uses the fixture
==============================  ================================================================================

The fixture is strict once a test has scripted a reply: a further prediction is then an error, and a reply or a fault
that was not used fails the test at its end (if it has not failed already). A test that scripts nothing gets made-up
answers. This is the default because a script that does not fit its test is a mistake in either of them, whereas a test
that scripts nothing has nothing to compare with; ``strict=True`` refuses made-up answers there, too.

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

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

if TYPE_CHECKING:
    from lmstudio_integrations.emulator import Emulator


_INI: dict[str, tuple[str, Literal["string", "linelist", "bool"], Any]] = {
    "models": (
        "the loaded models, one a line: its key, and 'embedding' if it is no LLM",
        "linelist",
        None,
    ),
    "replies": ("texts that are scripted for each test, one a line", "linelist", None),
    "token": ("the API token that clients need (sk-lm-…)", "string", None),
    "strict": ("scripted (default), true or false: whether replies must be used, and be there", "string", "scripted"),
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
    """Remember that a test has failed, whose script need not be used up then."""
    if call.when == "call":
        item.stash[_FAILED] = call.excinfo is not None
    return (yield)


@pytest.fixture
def lmstudio_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A running emulator with its default models, or as marker and configuration file say; stopped after the test.

    Strict once something is scripted (``lmstudio_emulator_strict``): predictions without a reply, and replies and
    faults that were not used, fail the test.

    Raises:
        LMStudioValueError: An argument of the marker, or an option of the configuration file, is wrong.
        AssertionError: At the end of the test, if its script was not followed.
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
    """The arguments that the configuration file gives."""
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
    """The arguments that the markers give, the nearest one last."""
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
