"""Middleware for agents made by ``langchain.agents.create_agent``. Needs the package ``langchain``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, InvalidToolCall, ToolMessage

from lmstudio_integrations.client._base import check_retries
from lmstudio_integrations.errors import LMStudioStructuredOutputError

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse, hook_config
    from langgraph.runtime import Runtime
except ImportError as error:
    raise ImportError("InvalidToolCallMiddleware needs langchain 1.0 or newer: pip install langchain") from error

__all__ = ["InvalidToolCallMiddleware"]


class InvalidToolCallMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Lets the model repeat tool calls that LM Studio could not parse.

    Example:
        ```python
        from langchain.agents import create_agent

        from lmstudio_integrations.langchain import ChatLMStudio
        from lmstudio_integrations.langchain.middleware import InvalidToolCallMiddleware

        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return "4 degrees"

        agent = create_agent(
            ChatLMStudio(model="qwen/qwen3-4b"), [get_weather], middleware=[InvalidToolCallMiddleware()]
        )
        print(agent.invoke({"messages": ["How warm is it in Oslo?"]})["messages"][-1].text)
        #> It is 4 degrees in Oslo.
        ```

    Each such call gets a ``ToolMessage`` with the error, and the model is called again: at most ``max_retries`` times
    for one user message (default 2). Then the agent ends with the last answer. Without this middleware it ends at once.
    If a call was forced (structured output), the request is repeated as it was, and after the last attempt the error
    is raised.

    Raises:
        LMStudioValueError: ``max_retries`` is not an integer of at least 0.
    """

    def __init__(self, max_retries: int = 2) -> None:
        super().__init__()
        self.max_retries: int = check_retries(max_retries)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Repeats a request whose forced call could not be parsed, which is an error and not a message."""
        for _ in range(self.max_retries):
            try:
                return handler(request)
            except LMStudioStructuredOutputError as error:
                if not error.unparsed_call:
                    raise
        return handler(request)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """``wrap_model_call`` for coroutines."""
        for _ in range(self.max_retries):
            try:
                return await handler(request)
            except LMStudioStructuredOutputError as error:
                if not error.unparsed_call:
                    raise
        return await handler(request)

    @hook_config(can_jump_to=["model"])
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Answers the calls that could not be parsed, and jumps to the model if there are no others to run."""
        messages = state["messages"]
        answer = messages[-1] if messages else None
        if not isinstance(answer, AIMessage) or not answer.invalid_tool_calls:
            return None
        if _failures(messages) > self.max_retries:
            return None
        update: dict[str, Any] = {"messages": [_refusal(call) for call in answer.invalid_tool_calls]}
        if not answer.tool_calls:
            update["jump_to"] = "model"
        return update

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """``after_model`` for coroutines."""
        return self.after_model(state, runtime)


def _failures(messages: Sequence[AnyMessage]) -> int:
    """How many answers since the last user message have calls that could not be parsed."""
    count = 0
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            break
        count += isinstance(message, AIMessage) and bool(message.invalid_tool_calls)
    return count


def _refusal(call: InvalidToolCall) -> ToolMessage:
    reason = call["error"] or "it is not valid JSON"
    content = f"The tool call could not be parsed: {reason}. Call the tool again with arguments in valid JSON."
    return ToolMessage(content, tool_call_id=call["id"] or "", name=call["name"], status="error")
