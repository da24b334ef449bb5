"""An agent's conversation on a real small model: ``python -m benchmarks.prompt_cache ADAPTER TURNS`` prints JSON.

A local model must not read the same prompt twice. What is sent for the same conversation has to be the same, turn after
turn; then the tokens of every earlier prompt come from the model's cache. Each line of ``calls`` is one request to the
model: ``prompt`` tokens, ``cached`` tokens as the adapter's usage reports them, and ``share``, the cached part of the
tokens that the previous request's prompt had. An agent asks the model twice in a turn with a tool call.

The model is SmolLM2 (135 million parameters) behind the emulator. It has no tool template: the emulator lists the tools
in the system message, decides when a tool is called and forces the call's form by a grammar; arguments and answers are
the model's own, and often wrong, which does not matter here.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.emulator.backends.llama_cpp import available, find_model

_SYSTEM = (
    "You are a patient assistant in the office of a small harbour. You keep the books, you answer questions about "
    "ships, berths and tides, and you use the tools when there is something to work out. Answer in one short sentence."
)
_MAX_TOKENS = 32
_TURNS = (
    "Please add 12 and 30.",
    "What does a harbour master do?",
    "The ferry takes 40 cars and the barge takes 7. Please add both numbers.",
    "How deep must a berth be? Please look_up the depth of berth four.",
    "Is it often foggy in autumn?",
    "Please multiply 6 and 7, that is what six ships pay.",
    "Thank you. Who may use berth four?",
    "Please look_up the tide of this evening.",
    "Please add 100 and 250, those are the fees of May and June.",
    "Write a friendly line for the captain of the ferry.",
)


def add(first: int, second: int) -> int:
    """Add two whole numbers."""
    return first + second


def multiply(first: int, second: int) -> int:
    """Multiply two whole numbers."""
    return first * second


def look_up(subject: str) -> str:
    """Look something up in the harbour's book."""
    return f"The book says about {subject!r}: 3.5 metres, checked on Monday by the pilot."


_TOOLS = (add, multiply, look_up)


def langchain(url: str, model: str, turns: int) -> list[tuple[int, int]]:
    """LangChain's own agent: prompt tokens and cached tokens of every request."""
    from langchain.agents import create_agent

    from lmstudio_integrations.langchain import ChatLMStudio

    chat = ChatLMStudio(model=model, base_url=url, temperature=0, max_tokens=_MAX_TOKENS)
    agent: Any = create_agent(chat, list(_TOOLS), system_prompt=_SYSTEM)
    messages: list[Any] = []
    for question in _TURNS[:turns]:
        messages = agent.invoke({"messages": [*messages, {"role": "user", "content": question}]})["messages"]
    usages = [message.usage_metadata for message in messages if message.type == "ai"]
    return [(usage["input_tokens"], usage.get("input_token_details", {}).get("cache_read", 0)) for usage in usages]


def llama_index(url: str, model: str, turns: int) -> list[tuple[int, int]]:
    """LlamaIndex's own agent."""
    return asyncio.run(_llama_index(url, model, turns))


async def _llama_index(url: str, model: str, turns: int) -> list[tuple[int, int]]:
    from llama_index.core.agent.workflow import AgentOutput, FunctionAgent
    from llama_index.core.memory import ChatMemoryBuffer

    from lmstudio_integrations.llama_index import LMStudio

    # The server says truly that this model was not trained for tools, and the agent would refuse it.
    llm = LMStudio(model=model, base_url=url, temperature=0, max_tokens=_MAX_TOKENS, is_function_calling_model=True)
    tools: list[Any] = list(_TOOLS)
    agent = FunctionAgent(llm=llm, tools=tools, system_prompt=_SYSTEM)
    memory = ChatMemoryBuffer.from_defaults(token_limit=100_000, tokenizer_fn=str.split)
    counts: list[tuple[int, int]] = []
    for question in _TURNS[:turns]:
        run = agent.run(question, memory=memory)
        outputs = [event async for event in run.stream_events() if isinstance(event, AgentOutput)]
        raws = [output.raw for output in outputs if isinstance(output.raw, dict)]
        counts += [_counts(raw["usage"]) for raw in raws if raw.get("usage")]
        await run
    return counts


def _counts(usage: dict[str, Any]) -> tuple[int, int]:
    details = usage.get("prompt_tokens_details") or {}
    return usage["prompt_tokens"], details.get("cached_tokens", 0)


ADAPTERS = {"LangChain": langchain, "LlamaIndex": llama_index}


def shares(counts: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Each request with the part of the previous prompt that came from the cache; the first has none before it."""
    calls: list[dict[str, Any]] = []
    before: int | None = None
    for prompt, cached in counts:
        share = None if before is None else round(min(cached, before) / before, 4)
        calls.append({"prompt": prompt, "cached": cached, "share": share})
        before = prompt
    return calls


def measure(adapter: str, turns: int) -> dict[str, Any]:
    """The whole conversation, on a model that has just been started."""
    path = find_model()
    missing = available()
    if path is None or missing is not None:
        return {"name": adapter, "missing": missing or "no model file"}
    with Emulator(model_path=path, record=False, threads=1) as server:
        counts = ADAPTERS[adapter](server.url, server.loaded[0], turns)
    calls = shares(counts)
    return {
        "name": adapter,
        "turns": turns,
        "calls": calls,
        "least": min(call["share"] for call in calls if call["share"] is not None),
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))), flush=True)  # noqa: T201  # the line that the runner reads
