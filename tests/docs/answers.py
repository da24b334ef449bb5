"""What the emulator answers to the questions of the docstrings, so that their outputs can be compared exactly."""

from __future__ import annotations

from lmstudio_integrations.emulator import EmulatedModel, PredictionRequest, Reply, ToolCall

MODELS = (
    EmulatedModel("qwen/qwen3-4b", vision=True),
    EmulatedModel("qwen/qwen3-0.6b"),
    EmulatedModel("text-embedding-nomic-embed-text-v1.5", "embedding"),
)

_SAID = {
    "Why is the sky blue?": Reply("Air scatters blue light more than red.", pace=0.0),
    "Why is the sea blue?": Reply("It mirrors the sky."),
    "How many r are in strawberry?": Reply("There are three.", reasoning="I count them: r, r, r."),
    "What is in this picture?": Reply("A harbour crane."),
    "Once upon a time": Reply(" there was a lighthouse."),
    "The ferry to the island leaves at seven.": Reply('{"destination": "the island", "hour": 7}'),
}


def reply(request: PredictionRequest) -> Reply | None:
    """The reply to the last user message; the rules' reply to anything else."""
    asked = request.last_user_text
    if request.settings.tools:
        return _with_tools(request, asked)
    return _SAID.get(asked)


def _with_tools(request: PredictionRequest, asked: str) -> Reply | None:
    if request.tool_results:
        said = {"How warm is it in Oslo?": "It is 4 degrees in Oslo.", "What is 17 + 25?": "17 + 25 is 42."}
        return Reply(said[asked]) if asked in said else None
    calls = {
        "How warm is it in Oslo?": ToolCall("get_weather", {"city": "Oslo"}),
        "What is 17 + 25?": ToolCall("add", {"a": 17, "b": 25}),
    }
    if asked in calls:
        return Reply(tool_calls=[calls[asked]])
    document = _SAID.get(asked)
    if document is not None and request.settings.tool_choice == "required":  # structured output by a forced call
        return Reply(tool_calls=[ToolCall(request.settings.tools[0]["name"], document.text)])
    return document
