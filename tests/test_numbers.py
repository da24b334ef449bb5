"""Numbers of numpy in the keywords of a call: the same on both sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from llama_index.core.llms import ChatMessage

from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.llama_index import LMStudio


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudio])
def test_scalars_of_numpy_in_a_call_are_sent_as_numbers(lmstudio_emulator: Emulator, kind: Any) -> None:
    model = kind(model="emulator/chat", base_url=lmstudio_emulator.url)
    settings = {"temperature": np.float32(0.5), "seed": np.int64(7), "max_tokens": np.int32(3)}
    if kind is ChatLMStudio:
        model.invoke("Hi", **settings)
    else:
        model.chat([ChatMessage(content="Hi")], **settings)
    (prediction,) = lmstudio_emulator.predictions
    sent = prediction.settings
    assert (sent["temperature"], sent["seed"], sent["max_tokens"]) == (0.5, 7, 3)
