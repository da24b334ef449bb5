"""What the runner of foreign suites says of a failure. The suites themselves need checkouts, and run by hand."""

from __future__ import annotations

import pytest

from benchmarks.foreign_scripts import JAVASCRIPT, PYTHON, Script
from benchmarks.foreign_suites import Outcome, report
from lmstudio_integrations import Client
from lmstudio_integrations.emulator import Emulator

_DIFF = """Error: expect(received).toMatchSnapshot(properties)
    - Snapshot  - 0
    + Received  + 2
      {
        "format": "gguf",
    +   "publisher": "someone",
    +   "ttlMs": null,
{more}
      }
"""


@pytest.mark.parametrize(
    ("more", "explained"),
    [("", True), ('    +   "vision": true,', False), ('    -   "sizeBytes": 7,', False), ('Snapshot: "a"', False)],
)
def test_failure_is_explained_only_if_nothing_but_newer_members_differ(
    capsys: pytest.CaptureFixture[str], more: str, explained: bool
) -> None:
    code = report([Outcome("one"), Outcome("two", _DIFF.replace("{more}", more))], {})
    printed = capsys.readouterr().out
    assert printed.startswith("1 of 2 pass\n- two: ")
    assert (code == 0, "UNEXPLAINED" not in printed) == (explained, explained)


def test_failure_with_a_named_reason_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([Outcome("suite.two[x]", "anything")], {"suite.two": "no plugins"}) == 0
    assert "- suite.two[x]: no plugins" in capsys.readouterr().out


@pytest.mark.parametrize("script", [JAVASCRIPT, PYTHON], ids=["javascript", "python"])
def test_scripts_make_an_emulator_that_answers(script: Script) -> None:
    with Emulator(**script.arguments()) as server, Client(server.url) as client:
        key = next(model.key for model in script.models if model.domain == "llm")
        assert client.llm.model(key).respond("Hello").content
