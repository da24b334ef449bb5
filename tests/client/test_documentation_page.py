"""LM Studio's documentation page on chat completion, run as it stands with our module's name in it.

Two things are changed: the module's name, and ``on_progress:`` where the page means ``on_progress=``.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import pytest

import lmstudio_integrations
from lmstudio_integrations import Chat, LMStudioValueError
from lmstudio_integrations.emulator import Emulator, Reply
from tests.frame_validation.shared import SHARED

PAGE = SHARED.parent / "lmstudio-chat-completion.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="../shared is not beside this checkout")


def page() -> str:
    return PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""


def snippets() -> list[Any]:
    """Each variant of each code block, by its heading on the page."""
    found = []
    for block in re.finditer(r"^```lms_code_snippet\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL):
        heading = re.findall(r"^#+ (.*)$", page()[: block.start()], re.MULTILINE)[-1]
        parts = re.split(r"^ {4}(\S.*):$", block[1], flags=re.MULTILINE)[1:]
        for variant, body in zip(parts[::2], parts[1::2], strict=True):
            code = textwrap.dedent(body.split("code: |\n", 1)[1])
            found.append(pytest.param(code, id=f"{heading} / {variant}"))
    return found


def ours(code: str) -> str:
    code = code.replace("import lmstudio as lm", "import lmstudio_integrations as lm")
    code = code.replace("import lmstudio\n", "import lmstudio_integrations as lmstudio\n")
    return code.replace("on_progress: lambda", "on_progress=lambda")


@pytest.mark.parametrize("code", snippets())
def test_snippet_of_the_documentation_page_runs(
    code: str, lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LMSTUDIO_BASE_URL", lmstudio_emulator.url)
    asked = re.findall(r"\.respond(?:_stream)?\(", code)
    lmstudio_emulator.script(*(Reply(f"answer number {number}") for number in range(len(asked))))
    names: dict[str, Any] = {}
    exec(compile(ours(code), "the page", "exec"), names)  # that is what the page is for
    assert lmstudio_emulator.scripted == 0
    assert names["response"].content == f"answer number {len(asked) - 1}"
    printed = capsys.readouterr().out
    if "print(response)" in code:
        assert printed == "answer number 0answer number 1\n"
    if "on_progress" in code:
        assert re.fullmatch(r"(\d+\.\d+% (complete|processed)\n)+", printed)
        assert printed.startswith("0.0%")
        assert "100.0%" in printed
    if "chat" in names:
        assert [message.role for message in names["chat"]] == ["system", "user", "assistant"]


def test_documentation_page_has_the_tested_snippets() -> None:
    assert len(snippets()) == 6


def test_json_history_of_the_documentation_page_makes_a_chat() -> None:
    (code,) = re.findall(r"^```json\n(chat_history = .*?)^```$", page(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert "Chat.from_history(chat_history)" in page()
    assert [message.role for message in Chat.from_history(names["chat_history"])] == ["system", "user"]


def test_attributes_of_the_documentation_page_exist(lmstudio_emulator: Emulator) -> None:
    names = re.findall(r"^\* `(\w+)`:", page(), re.MULTILINE)
    assert names == ["content", "parsed", "structured", "stats", "model_info"]
    with lmstudio_integrations.Client(lmstudio_emulator.url) as client:
        result = client.llm.model().respond("Hi")
    for name in names:
        assert getattr(result, name) is not None


def test_configuration_type_of_the_documentation_page_exists(lmstudio_emulator: Emulator) -> None:
    assert "lmstudio.LlmPredictionConfig" in page()
    with lmstudio_integrations.Client(lmstudio_emulator.url) as client:
        model = client.llm.model()
        config = lmstudio_integrations.LlmPredictionConfig(max_tokens=2)
        assert model.respond("Hi", config=config).stats.predicted_tokens_count == 2
        assert model.respond("Hi", config={"maxTokens": 2}).stats.predicted_tokens_count == 2
        with pytest.raises(LMStudioValueError, match="maxTokens"):
            model.respond("Hi", config={"maxToken": 2})  # type: ignore[call-overload]  # misspelt on purpose
