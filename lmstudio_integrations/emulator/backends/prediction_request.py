"""One prediction as a source of replies sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmstudio_integrations.emulator.backends.prediction_settings import PredictionSettings
from lmstudio_integrations.emulator.models import Instance

Messages = Sequence[Mapping[str, Any]]


@dataclass
class PredictionRequest:
    """One request for a prediction, which a function of replies gets.

    Example:
        ```python
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Emulator, PredictionRequest, Reply

        def answer(request: PredictionRequest) -> Reply | None:
            return Reply("Hello") if request.last_user_text == "Hi" else None  # None: the rules' reply

        with Emulator(replies=answer) as server, Client(server.url) as client:
            print(client.llm.just_in_time("emulator/chat").respond("Hi"))
            #> Hello
        ```

    ``messages`` is the history in wire form (for a raw completion: one user message with the prompt), ``prompt``
    the text after the template, ``prompt_tokens`` its tokens, cut to the context if the policy says so.
    """

    instance: Instance
    settings: PredictionSettings
    messages: Messages
    raw: bool = False
    prompt: str = ""
    prompt_tokens: Sequence[Any] = field(default_factory=list)

    @property
    def last_user_text(self) -> str:
        """The text of the last user message."""
        for message in reversed(self.messages):
            if message["role"] == "user":
                return text_of(message)
        return ""

    @property
    def tool_results(self) -> list[str]:
        """The contents of the tool results that end the history, if it ends with some."""
        results: list[str] = []
        for message in reversed(self.messages):
            if message["role"] != "tool":
                break
            results[:0] = [part["content"] for part in message["content"]]
        return results

    @property
    def files(self) -> list[Mapping[str, Any]]:
        """All file parts of the history."""
        return [part for message in self.messages for part in message["content"] if part["type"] == "file"]


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text parts, joined."""
    return "".join(part["text"] for part in message["content"] if part["type"] == "text")
