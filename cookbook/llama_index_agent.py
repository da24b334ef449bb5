"""LlamaIndex: a function agent, its events while it works, and an object in a form of your own.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/llama_index_agent.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from _server import lm_studio_or_emulator
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, Field

from lmstudio_integrations.llama_index import LMStudio

if TYPE_CHECKING:
    from _server import Server


def depth_of_water(place: str) -> str:
    """How deep the water is at a place in the harbour, in metres."""
    return {"north pier": "6.5 metres", "south quay": "9 metres"}.get(place.lower(), "nobody has measured it there")


class Sailing(BaseModel):
    """When a ship sails, and where to."""

    destination: str = Field(max_length=40)
    hour: int = Field(ge=0, le=23)


async def agent(server: Server) -> None:
    """Tool calls and text arrive as the agent's own events."""
    print("The agent:")
    # LM Studio gives tools to every model. Without this setting, a model that was not trained for tools gets no agent.
    llm = LMStudio(
        model=server.chat_model, base_url=server.url, temperature=0, max_tokens=200, is_function_calling_model=True
    )
    worker = FunctionAgent(tools=[depth_of_water], llm=llm, system_prompt="You answer questions about the harbour.")
    running = worker.run(user_msg="How deep is the water at the south quay?", max_iterations=6)
    async for event in running.stream_events():
        if isinstance(event, AgentStream):
            print(event.delta, end="", flush=True)
        elif isinstance(event, ToolCallResult):
            print(f"\n  {event.tool_name}({event.tool_kwargs}) -> {event.tool_output.content}")
    await running
    print()


def structured(server: Server) -> None:
    """A grammar holds the model to the schema."""
    print("\nAn object:")
    llm = LMStudio(model=server.chat_model, base_url=server.url, temperature=0, max_tokens=200)
    prompt = PromptTemplate("When does the ship sail, and where to? {report}")
    print(" ", llm.structured_predict(Sailing, prompt, report="The ferry to the island leaves at seven."))


def main() -> None:
    """The agent, then the object."""
    with lm_studio_or_emulator() as server:
        asyncio.run(agent(server))
        structured(server)


if __name__ == "__main__":
    main()
