"""LangChain: an agent with tools, and a call of one named tool that is forced.

Run it with `.uv/bin/uv run --no-dev --extra all --with langchain cookbook/langchain_agent.py`.
"""

from __future__ import annotations

from _server import lm_studio_or_emulator
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from lmstudio_integrations.langchain import ChatLMStudio


@tool
def depth_of_water(place: str) -> str:
    """How deep the water is at a place in the harbour, in metres."""
    return {"north pier": "6.5 metres", "south quay": "9 metres"}.get(place.lower(), "nobody has measured it there")


@tool
def wind(unit: str = "knots") -> str:
    """How strong the wind is now."""
    return f"12 {unit}, from the west"


def main() -> None:
    """First the agent's loop, message by message, then a single call that names its tool."""
    with lm_studio_or_emulator() as server:
        model = ChatLMStudio(model=server.chat_model, base_url=server.url, temperature=0, max_tokens=200)

        print("The agent:")
        agent = create_agent(model, [depth_of_water, wind], system_prompt="You answer questions about the harbour.")
        question = HumanMessage("How deep is the water at the south quay?")
        for step in agent.stream({"messages": [question]}, {"recursion_limit": 12}, stream_mode="updates"):
            for name, update in step.items():
                for message in update["messages"]:
                    calls = [f"{call['name']}({call['args']})" for call in getattr(message, "tool_calls", [])]
                    print(f"  {name}: {' '.join(calls) or message.text}")

        print("One call of a named tool:")
        forced = model.bind_tools([depth_of_water, wind], tool_choice="wind").invoke("Can the ferry sail?")
        print(" ", forced.tool_calls)


if __name__ == "__main__":
    main()
