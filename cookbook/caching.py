"""Two caches: LangChain's gives an answer without asking, LM Studio's keeps what prompts begin with.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/caching.py`.
"""

from __future__ import annotations

from _sample_docs import HANDBOOK
from _server import lm_studio_or_emulator
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage, SystemMessage

from lmstudio_integrations.langchain import ChatLMStudio


def main() -> None:
    """The same question twice with LangChain's cache, then different questions to one long text without it."""
    with lm_studio_or_emulator() as server:
        cached = ChatLMStudio(
            model=server.chat_model, base_url=server.url, temperature=0, max_tokens=40, cache=InMemoryCache()
        )
        print("LangChain's cache:")
        for attempt in ("first ", "second"):
            message = cached.invoke("What is a lighthouse for?")
            print(f"  {attempt}: {message.text[:50]!r} …")
        # The settings are part of the key: another temperature is another question.
        cached.bind(temperature=0.9).invoke("What is a lighthouse for?")

        print("LM Studio's cache of the prompt's beginning:")
        model = ChatLMStudio(model=server.chat_model, base_url=server.url, temperature=0, max_tokens=20)
        handbook = SystemMessage("Answer from this handbook.\n\n" + "\n\n".join(HANDBOOK.values()))
        for question in ("When does the ferry leave?", "What does the canteen serve?", "Who operates the crane?"):
            # What stays the same comes first, what changes comes last: only a common beginning is kept.
            usage = model.invoke([handbook, HumanMessage(question)]).usage_metadata
            assert usage is not None
            kept = usage.get("input_token_details", {}).get("cache_read", 0)
            print(f"  {question:<30} {usage['input_tokens']} prompt tokens, {kept} of them from the cache")


if __name__ == "__main__":
    main()
