"""A context that is smaller than what was asked for is warned of once, on both sides (number 21)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lmstudio_integrations.compat.context_length import warn_of_context_length
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioLLM
from lmstudio_integrations.llama_index import LMStudio


@pytest.fixture(autouse=True)
def _nothing_warned() -> Iterator[None]:
    warn_of_context_length.cache_clear()
    yield
    warn_of_context_length.cache_clear()


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudioLLM, LMStudio])
async def test_smaller_context_than_asked_for_is_warned_of_once(
    kind: type, lmstudio_emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    model = kind(model="emulator/chat", base_url=lmstudio_emulator.url, context_length=32768)
    for _ in range(2):
        model.complete("x") if kind is LMStudio else model.invoke("x")
        await (model.acomplete("x") if kind is LMStudio else model.ainvoke("x"))
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "4096" in warning
    assert "32768" in warning
    known = model.metadata.context_window if kind is LMStudio else 4096
    assert known == 4096, "metadata has the real one"
    if kind is ChatLMStudio:
        again = ChatLMStudio(model="emulator/chat", base_url=lmstudio_emulator.url, context_length=32768)
        assert (again.profile or {}).get("max_input_tokens") == 4096


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudio])
def test_context_that_is_large_enough_is_not_warned_of(
    kind: type, lmstudio_emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    for context_length in (None, 100, 4096):
        model = kind(model="emulator/chat", base_url=lmstudio_emulator.url, context_length=context_length)
        model.complete("x") if kind is LMStudio else model.invoke("x")
    assert not caplog.records


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudio])
def test_context_length_of_a_call_is_warned_of(
    kind: type, lmstudio_emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    model = kind(model="emulator/chat", base_url=lmstudio_emulator.url)
    model.complete("x", num_ctx=9999) if kind is LMStudio else model.invoke("x", num_ctx=9999)
    assert "9999" in caplog.text


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudio])
@pytest.mark.parametrize("name", ["contextLength", "context_length"])
def test_context_length_of_a_load_config_is_warned_of(
    kind: type, name: str, lmstudio_emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    model = kind(model="emulator/chat", base_url=lmstudio_emulator.url, load_config={name: 9999})
    model.complete("x") if kind is LMStudio else model.invoke("x")
    assert "9999" in caplog.text
