"""What the tests of the LangChain adapter share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.langchain import ChatLMStudio


@pytest.fixture
def chat(lmstudio_emulator: Emulator) -> Callable[..., ChatLMStudio]:
    """Makes chat models that talk to the emulator of this test."""

    def make(**settings: Any) -> ChatLMStudio:
        return ChatLMStudio(**{"model": "emulator/chat", "base_url": lmstudio_emulator.url, **settings})

    return make
