"""CPU time of one call as its input grows: ``python -m benchmarks.calls NAME PORT KIND REPEATS SIZE …``.

``KIND`` is "messages" (a history of ``SIZE`` messages, user and assistant in turn) or "tools" (``SIZE`` tools, bound
once where the interface has a binding). The answer is one token, so the figure is what a call costs before and after
its stream. Prints a line of JSON: for each size the CPU milliseconds of a call, all threads of the process, the median
over the repeats after one that warms up, at the standard speed of ``machine_speed``. Message and tool objects are made
before the clock starts, as programs keep them between calls.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from . import chat_models, llms
from .machine_speed import SpeedMeter
from .workload import MODEL, Workload, text

_WORKLOAD = Workload(1)
_SENTENCE = "The boat left the harbour at dawn, and nobody on the pier knew why it was so early today."

Call = Callable[[], str]


@dataclass(frozen=True, slots=True)
class CallContender:
    """``messages(port, texts)`` and ``tools(port, schemas)`` make the call that is timed."""

    environment: str
    messages: Callable[[int, list[str]], Call]
    tools: Callable[[int, list[dict[str, Any]]], Call]


def texts(size: int) -> list[str]:
    """``size`` messages, the user's and the assistant's in turn; the last is the user's and has the workload."""
    last = f"{_SENTENCE} {_WORKLOAD}"
    return [f"{_SENTENCE} ({number})" for number in range(size - 1)] + [last]


def schemas(size: int) -> list[dict[str, Any]]:
    """Tools in OpenAI's form, each with three parameters."""
    parameters = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city's name."},
            "days": {"type": "integer", "description": "How many days."},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    }
    return [
        {
            "type": "function",
            "function": {"name": f"tool_{at}", "description": f"Tool number {at}.", "parameters": parameters},
        }
        for at in range(size)
    ]


def _role(at: int, size: int) -> str:
    return "user" if (size - 1 - at) % 2 == 0 else "assistant"


def _roles(said: list[str]) -> Iterator[tuple[str, str]]:
    for at, content in enumerate(said):
        yield _role(at, len(said)), content


def client_messages(port: int, said: list[str]) -> Call:
    """``Client.respond`` with a ``Chat``."""
    from lmstudio_integrations import Chat, Client

    model = Client(f"ws://127.0.0.1:{port}").llm.model(MODEL)
    chat = Chat()
    for role, content in _roles(said):
        (chat.add_user_message if role == "user" else chat.add_assistant_response)(content)
    return lambda: model.respond(chat).content


def client_tools(port: int, given: list[dict[str, Any]]) -> Call:
    """``Client.respond`` with tools as dicts."""
    from lmstudio_integrations import Client

    model = Client(f"ws://127.0.0.1:{port}").llm.model(MODEL)
    return lambda: model.respond(str(_WORKLOAD), tools=given).content


def sdk_messages(port: int, said: list[str]) -> Call:
    """The official SDK's ``respond`` with its ``Chat``."""
    sdk = import_module("lmstudio")
    model = sdk.Client(f"127.0.0.1:{port}").llm.model(MODEL)
    chat = sdk.Chat()
    for role, content in _roles(said):
        (chat.add_user_message if role == "user" else chat.add_assistant_response)(content)
    return lambda: str(model.respond(chat).content)


def sdk_tools(port: int, given: list[dict[str, Any]]) -> Call:
    """The official SDK's ``act``, its only call with tools: one round."""
    sdk = import_module("lmstudio")
    model = sdk.Client(f"127.0.0.1:{port}").llm.model(MODEL)
    parameters = {"city": str, "days": int, "unit": str}
    tools = [
        sdk.ToolFunctionDef(
            name=tool["function"]["name"],
            description=tool["function"]["description"],
            parameters=parameters,
            implementation=lambda **_: "",
        )
        for tool in given
    ]

    def call() -> str:
        said: list[Any] = []
        model.act(str(_WORKLOAD), tools, on_message=said.append)
        return "".join(part.text for part in said[-1].content)

    return call


def _langchain(make: chat_models.Make) -> tuple[Callable[..., Call], Callable[..., Call]]:
    def messages(port: int, said: list[str]) -> Call:
        from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

        model = make(port, _WORKLOAD)
        history: list[BaseMessage] = [
            HumanMessage(content) if role == "user" else AIMessage(content) for role, content in _roles(said)
        ]
        return lambda: str(model.invoke(history).content)

    def tools(port: int, given: list[dict[str, Any]]) -> Call:
        bound = make(port, _WORKLOAD).bind_tools(given)
        return lambda: str(bound.invoke(str(_WORKLOAD)).content)

    return messages, tools


def _llama_index(make: llms.Make) -> tuple[Callable[..., Call], Callable[..., Call]]:
    def messages(port: int, said: list[str]) -> Call:
        from llama_index.core.llms import ChatMessage

        llm = make(port, _WORKLOAD)
        history = [ChatMessage(role=role, content=content) for role, content in _roles(said)]
        return lambda: str(llm.chat(history).message.content)

    def tools(port: int, given: list[dict[str, Any]]) -> Call:
        from llama_index.core.tools import FunctionTool

        def forecast(city: str, days: int = 1, unit: str = "celsius") -> str:
            return f"{city} {days} {unit}"

        llm = make(port, _WORKLOAD)
        made = [
            FunctionTool.from_defaults(
                forecast, name=tool["function"]["name"], description=tool["function"]["description"]
            )
            for tool in given
        ]
        return lambda: str(llm.chat_with_tools(made, user_msg=str(_WORKLOAD)).message.content)

    return messages, tools


def _function_calling_ollama(port: int, workload: Workload) -> Any:
    llm = llms.ollama(port, workload)
    llm.is_function_calling_model = True
    return llm


CALLS: dict[str, CallContender] = {
    "client": CallContender("ours", client_messages, client_tools),
    "official SDK": CallContender("lmstudio", sdk_messages, sdk_tools),
    "ChatLMStudio": CallContender("ours", *_langchain(chat_models.ours)),
    "ChatOllama": CallContender("langchain-ollama", *_langchain(chat_models.ollama)),
    "ChatOpenAI": CallContender("langchain-openai", *_langchain(chat_models.openai)),
    "LMStudio": CallContender("ours", *_llama_index(llms.ours)),
    "Ollama (LlamaIndex)": CallContender("llama-index-llms-ollama", *_llama_index(_function_calling_ollama)),
}


def cpu_ms(call: Call, repeats: int) -> tuple[float, float]:
    """Median CPU milliseconds of ``call``, and the milliseconds of the speed probe. The wrong answer is no result."""
    meter = SpeedMeter()
    for _ in range(repeats + 1):
        begun = time.process_time()
        answer = call()
        meter.add(time.process_time() - begun)
        if answer != text(_WORKLOAD.count):
            raise ValueError(f"expected the answer {text(_WORKLOAD.count)!r}, got {answer[:80]!r}")
    taken = [times[0] for times in meter.scaled()[1:]]
    return round(statistics.median(taken) * 1e3, 3), meter.probe_ms


def measure(name: str, port: int, kind: str, repeats: int, sizes: list[int]) -> dict[str, Any]:
    """One contender's figures: its name, and CPU milliseconds by size."""
    contender = CALLS[name]
    figures: dict[str, Any] = {"name": name}
    probes = []
    for size in sizes:
        call = contender.messages(port, texts(size)) if kind == "messages" else contender.tools(port, schemas(size))
        figures[str(size)], probe = cpu_ms(call, repeats)
        probes.append(probe)
    return figures | {"probe_ms": statistics.median(probes)}


if __name__ == "__main__":
    name, port, kind, repeats, *sizes = sys.argv[1:]
    found = measure(name, int(port), kind, int(repeats), [int(size) for size in sizes])
    print(json.dumps(found), flush=True)  # noqa: T201  # the line that the runner reads
    os._exit(0)  # some peers leave tasks and sockets behind, and their end is none of the figures
