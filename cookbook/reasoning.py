"""Models that think first: their reasoning apart from the answer, through the client, LangChain and LlamaIndex.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/reasoning.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _server import lm_studio_or_emulator
from llama_index.core.base.llms.types import ThinkingBlock
from llama_index.core.llms import ChatMessage

from lmstudio_integrations import Client
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.llama_index import LMStudio

if TYPE_CHECKING:
    from _server import Server

QUESTION = "A ferry has 7 cars and takes 5 more. How many has it then?"


def client(server: Server) -> None:
    """Fragments say what they are; the result has both texts, and never the tags around the reasoning."""
    with Client(server.url) as connection:
        stream = connection.llm.just_in_time(server.chat_model).respond_stream(QUESTION, config={"maxTokens": 300})
        for fragment in stream:
            if fragment.reasoning_type == "reasoning":
                print(f"({fragment})", end="")
            elif fragment.reasoning_type == "none":
                print(fragment, end="")
        result = stream.result()
    print(f"\n  {result.usage.reasoning_tokens or 0} of {result.usage.completion_tokens} tokens were reasoning")


def langchain(server: Server) -> None:
    """A block of its own in ``content_blocks``, as with other providers; ``text`` is the answer alone."""
    model = ChatLMStudio(model=server.chat_model, base_url=server.url, max_tokens=300)
    message = model.invoke(QUESTION)
    for block in message.content_blocks:
        print(f"  {block['type']}: {block.get('reasoning') or block.get('text')}")
    # Where a model can think or not, this switches it: True, False, or a budget in tokens.
    print("  without:", model.invoke(QUESTION, reasoning=False).text)


def llama_index(server: Server) -> None:
    """A ``ThinkingBlock`` of the message."""
    response = LMStudio(model=server.chat_model, base_url=server.url, max_tokens=300).chat([ChatMessage(QUESTION)])
    for block in response.message.blocks:
        if isinstance(block, ThinkingBlock):
            print("  thinking:", block.content)
    print("  answer:  ", response.message.content)


def main() -> None:
    """All three. A model that does not think has an answer, and no reasoning."""
    with lm_studio_or_emulator() as server:
        print("The client (reasoning in brackets):")
        client(server)
        print("LangChain:")
        langchain(server)
        print("LlamaIndex:")
        llama_index(server)


if __name__ == "__main__":
    main()
