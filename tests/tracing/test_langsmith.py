"""LangSmith, offline: what its tracer would send, collected by a session that sends nothing."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import MagicMock

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.langchain import LangChainTracer

from lmstudio_integrations.emulator import Emulator, Reply, ToolCall
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioLLM

langsmith = pytest.importorskip("langsmith")
CHAT = "emulator/chat"


class Sent:
    """The runs that a tracer has sent."""

    def __init__(self) -> None:
        self.session = MagicMock()
        client = langsmith.Client(
            api_url="http://127.0.0.1:1", api_key="none", session=self.session, auto_batch_tracing=False
        )
        self.tracer: BaseCallbackHandler = LangChainTracer(client=client, project_name="test")

    def run(self) -> dict[str, Any]:
        """The one run: the data of its start, with those of its end."""
        made: dict[str, Any] = {}
        for call in self.session.request.call_args_list:
            data = call.kwargs.get("data")
            if data:
                made |= {name: value for name, value in json.loads(data).items() if value is not None}
        return made


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_langsmith_run_of_a_chat_has_messages_usage_and_model(way: str) -> None:
    sent = Sent()
    with Emulator() as server:
        server.script(Reply("Hello there", prompt_tokens=10, cached_tokens=2))
        model = ChatLMStudio(model=CHAT, base_url=server.url, temperature=0.5)
        config: Any = {"callbacks": [sent.tracer]}
        list(model.stream("Hi", config)) if way == "stream" else model.invoke("Hi", config)
    run = sent.run()
    assert run["run_type"] == "llm"
    assert run["name"] == "ChatLMStudio"
    metadata = run["extra"]["metadata"]
    assert (metadata["ls_provider"], metadata["ls_model_name"], metadata["ls_temperature"]) == ("lmstudio", CHAT, 0.5)
    assert metadata["usage_metadata"]["input_tokens"] == 10
    assert metadata["usage_metadata"]["input_token_details"] == {"cache_read": 2}
    (generation,) = run["outputs"]["generations"][0]
    assert generation["text"] == "Hello there"
    assert "error" not in run


def test_langsmith_run_of_a_tool_call_has_the_tools_and_the_call() -> None:
    sent = Sent()
    tool = {
        "name": "add",
        "description": "Add.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    }
    with Emulator() as server:
        server.script(Reply(tool_calls=[ToolCall("add", {"a": 1})]))
        ChatLMStudio(model=CHAT, base_url=server.url).bind_tools([tool]).invoke("Hi", {"callbacks": [sent.tracer]})
    run = sent.run()
    assert json.dumps(run["extra"]["invocation_params"]).count('"add"') == 1
    (generation,) = run["outputs"]["generations"][0]
    assert generation["message"]["kwargs"]["tool_calls"][0]["args"] == {"a": 1}


def test_langsmith_run_of_a_completion_has_its_text_and_model() -> None:
    sent = Sent()
    with Emulator() as server:
        server.script(Reply("a time"))
        LMStudioLLM(model=CHAT, base_url=server.url).invoke("Once upon", {"callbacks": [sent.tracer]})
    run = sent.run()
    assert run["outputs"]["generations"][0][0]["text"] == "a time"
    assert run["extra"]["metadata"]["ls_provider"] == "lmstudio"


def test_langsmith_run_of_a_failure_has_the_error_and_no_token() -> None:
    token = "sk-lm-abcdefgh:ABCDEFGHIJKLMNOPQRST"
    sent = Sent()
    with Emulator(api_token=token) as server:
        server.script(Reply("x", error="The engine failed"))
        model = ChatLMStudio(model=CHAT, base_url=server.url, api_token=token, max_retries=0)
        with pytest.raises(Exception, match="The engine failed"):
            model.invoke("Hi", {"callbacks": [sent.tracer]})
    assert "The engine failed" in sent.run()["error"]
    assert token[-20:] not in repr(sent.session.request.call_args_list)
