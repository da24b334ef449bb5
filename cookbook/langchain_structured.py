"""LangChain: answers in a form of your own, which a grammar in LM Studio forces and which is checked on arrival.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/langchain_structured.py`.
"""

from __future__ import annotations

from typing import Literal

from _server import lm_studio_or_emulator
from pydantic import BaseModel, Field

from lmstudio_integrations.langchain import ChatLMStudio


class Ship(BaseModel):
    """A ship that is mentioned in a report."""

    name: str = Field(max_length=40)
    kind: Literal["ferry", "freighter", "fishing boat", "sailing boat"]
    crew: int = Field(ge=0, le=99)
    cargo: list[str] = Field(max_length=3, description="what is on board")


REPORT = "At dawn the freighter Albatros came in from the north, nine men on board, with timber and coffee."


def main() -> None:
    """Once as a whole, once growing while it streams, and once with the raw message beside it."""
    with lm_studio_or_emulator() as server:
        model = ChatLMStudio(model=server.chat_model, base_url=server.url, temperature=0, max_tokens=300)

        print("As an object:")
        print(" ", model.with_structured_output(Ship).invoke(REPORT))

        print("While it streams (a JSON schema gives dicts, which grow):")
        for part in model.with_structured_output(Ship.model_json_schema()).stream(REPORT):
            print(" ", part)

        print("With the raw message, where a mistake is kept instead of raised:")
        answer = model.with_structured_output(Ship, include_raw=True).invoke(REPORT)
        assert isinstance(answer, dict)
        print("  parsed:", answer["parsed"])
        print("  error: ", answer["parsing_error"])
        print("  tokens:", answer["raw"].usage_metadata)


if __name__ == "__main__":
    main()
