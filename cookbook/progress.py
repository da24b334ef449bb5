"""What happens before the first token: loading and prompt processing, seen from LangChain, LlamaIndex and the client.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/progress.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from _server import lm_studio_or_emulator
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core.instrumentation import get_dispatcher

from lmstudio_integrations import Client, Fragment, LoadProgress, PromptProgress
from lmstudio_integrations.langchain import LOAD_PROGRESS, PROMPT_PROGRESS, ChatLMStudio, ProgressBar
from lmstudio_integrations.llama_index import LMStudio, ProgressBarEventHandler

if TYPE_CHECKING:
    from _server import Server

# Long enough to take a moment.
REPORT = "The tide came in at noon and the boats went out one after the other. " * 30
QUESTION = f"{REPORT}\n\nWhat did the boats do? Answer in one sentence."


def from_the_client(server: Server) -> None:
    """``events()`` yields everything that happens, in its order."""
    print("The client's events:")
    with Client(server.url) as client:
        model = client.llm.just_in_time(server.chat_model)
        with model.respond_stream(QUESTION, config={"maxTokens": 40}) as stream:
            for event in stream.events():
                match event:
                    case LoadProgress(progress=share):
                        print(f"  loading {share:.0%}")
                    case PromptProgress(progress=share):
                        print(f"  prompt {share:.0%}: {event.processed_tokens} of {event.total_tokens} tokens")
                    case Fragment():
                        print(event, end="", flush=True)
    print("\n")


async def from_langchain_events(server: Server) -> None:
    """In a chain, progress arrives as custom events: in ``astream_events`` and in every callback handler."""
    print("LangChain's custom events:")
    model = ChatLMStudio(model=server.chat_model, base_url=server.url, max_tokens=40)
    chain = ChatPromptTemplate.from_template("{question}") | model
    async for event in chain.astream_events({"question": QUESTION}, version="v2"):
        data: Any = event["data"]
        if event["event"] == "on_custom_event" and event["name"] in (LOAD_PROGRESS, PROMPT_PROGRESS):
            print(f"  {event['name']}: {data['progress']:.0%}")
        elif event["event"] == "on_chat_model_stream":
            print(data["chunk"].text, end="", flush=True)
    print("\n")


def with_the_ready_bars(server: Server) -> None:
    """Each adapter has a bar of its own, for calls that return when all is done."""
    print("LangChain's ready bar:")
    chat = ChatLMStudio(model=server.chat_model, base_url=server.url, max_tokens=40)
    print(chat.invoke(QUESTION, config={"callbacks": [ProgressBar()]}).text, "\n")

    print("LlamaIndex's ready bar:")
    handler = ProgressBarEventHandler()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(handler)
    try:
        print(LMStudio(model=server.chat_model, base_url=server.url, max_tokens=40).complete(QUESTION).text)
    finally:
        dispatcher.event_handlers.remove(handler)


def main() -> None:
    """All of them, one after the other."""
    with lm_studio_or_emulator() as server:
        from_the_client(server)
        asyncio.run(from_langchain_events(server))
        with_the_ready_bars(server)


if __name__ == "__main__":
    main()
