"""The server of the cookbook's programs: LM Studio if it answers, else the emulator.

In LM Studio the models that are loaded are used, else the first ones downloaded, which LM Studio then loads. Without LM
Studio the emulator is started, with a small real model if one is installed, and the program says so.
"""

from __future__ import annotations

import os
import sys
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lmstudio_integrations import Client
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.emulator.backends.llama_cpp import find_model
from lmstudio_integrations.errors import LMStudioServerNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Server:
    """An address (``None``: LM Studio's usual ports on this machine), and the keys of the models to use there."""

    url: str | None
    chat_model: str
    embedding_model: str


@contextmanager
def lm_studio_or_emulator() -> Iterator[Server]:
    """LM Studio at ``LMSTUDIO_BASE_URL`` or its usual ports, else an emulator for as long as the block lasts."""
    try:
        server = _choose_models(None)
    except LMStudioServerNotFoundError as error:
        _say(f"No LM Studio answers at {', '.join(error.addresses)}.")
    else:
        _say(f"A server answers. Using its models {server.chat_model} and {server.embedding_model}.")
        yield server
        return
    model = find_model() if find_spec("xllamacpp") else None
    if model is not None:
        _say(f"Starting the emulator instead, with a real model that is small, quick and often wrong: {model.stem}.")
    else:
        _say("Starting the emulator instead, with made-up answers, as no small real model is installed.")
    # Not all processors: on a busy machine each step of the model waits for its slowest thread.
    with Emulator(model_path=model, threads=max(1, (os.cpu_count() or 2) // 2)) as emulator:
        yield _choose_models(emulator.url)


def _say(text: str) -> None:
    print(textwrap.fill(text, 79, break_on_hyphens=False))


def _choose_models(url: str | None) -> Server:
    with Client(url) as client:
        llms = [llm.identifier for llm in client.llm.list_loaded() if llm.identifier]
        embedders = [one.identifier for one in client.embedding.list_loaded() if one.identifier]
        for model in client.list_downloaded_models():
            (llms if model.type == "llm" else embedders).append(model.model_key)
    if not llms or not embedders:
        kind = "language" if not llms else "embedding"
        sys.exit(f"The server that answers has no {kind} model: download one in LM Studio, then try again.")
    return Server(url, llms[0], embedders[0])
