"""Rules: the emulator's answers when no reply is scripted.

Deterministic. Texts say that an emulator made them, and made-up strings begin with "emulated". A tool is called if the
request requires it, or if the last message is a user's and names or clearly means one. For a schema or grammar, the
answer is a document that it accepts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lmstudio_integrations.emulator.backends.argument_hints import Hints
from lmstudio_integrations.emulator.backends.grammar_faker import GrammarError, from_gbnf
from lmstudio_integrations.emulator.backends.prediction_request import PredictionRequest, text_of
from lmstudio_integrations.emulator.backends.schema_faker import document
from lmstudio_integrations.emulator.backends.tool_choice import choose_tool
from lmstudio_integrations.emulator.errors import EndpointError
from lmstudio_integrations.emulator.replies import Reply, ToolCall

_KEYS = re.compile(r"[\"'`]([A-Za-z_][\w-]*)[\"'`]")
_LISTED = re.compile(
    r"\b(?:keys?|fields?|properties|attributes)\b[:\s]+([A-Za-z_]\w*(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+)[A-Za-z_]\w*)*)",
    re.IGNORECASE,
)


def rule_reply(request: PredictionRequest) -> Reply:
    """The reply to a request.

    Raises:
        EndpointError: the grammar cannot be read.
    """
    call = tool_call(request)
    if call is not None:
        return Reply(tool_calls=[call])
    structured = request.settings.structured
    if structured["type"] == "json":
        return Reply(_json(_structured_document(request, structured.get("jsonSchema"))))
    if structured["type"] == "gbnf":
        try:
            return Reply(from_gbnf(structured.get("gbnfGrammar", "")))
        except GrammarError as error:
            raise EndpointError("Failed to parse the grammar", cause=str(error)) from None
    results = request.tool_results
    if results:
        return Reply(f"This is the LM Studio emulator, not a language model. The tools said: {' | '.join(results)}")
    asked = request.last_user_text.strip()
    return Reply(f"This is the LM Studio emulator, not a language model. You said: {asked}")


def tool_call(request: PredictionRequest) -> ToolCall | None:
    """The tool call that the rule makes, if it makes one."""
    settings = request.settings
    forced = settings.tool_choice == "required"
    asks = bool(request.messages) and request.messages[-1]["role"] == "user"
    if not settings.tools or not (forced or asks):
        return None
    text = request.last_user_text
    tool = choose_tool(settings.tools, text, forced=forced, called=_called(request))
    return None if tool is None else ToolCall(tool["name"], arguments(tool, text))


def arguments(tool: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Arguments that the tool's schema accepts, with the numbers and words of the text where they fit."""
    schema = tool.get("parameters") or {"type": "object", "properties": {}}
    made = document(schema, hints=Hints(text), optional=False)
    return made if isinstance(made, dict) else {}


def _called(request: PredictionRequest) -> list[str]:
    """The tools that were called since the last user message."""
    names: list[str] = []
    for message in reversed(request.messages):
        if message["role"] == "user":
            break
        parts = (part for part in message["content"] if part["type"] == "toolCallRequest")
        names += [part["toolCallRequest"]["name"] for part in parts]
    return names


def _structured_document(request: PredictionRequest, schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return document(schema)
    text = "\n".join(text_of(message) for message in request.messages if message["role"] in ("system", "user"))
    keys = list(dict.fromkeys(_KEYS.findall(text)))
    if not keys and (listed := _LISTED.search(text)):
        keys = [key for key in re.findall(r"\w+", listed[1]) if key != "and"]
    return {key: f"emulated {key}" for key in keys or ["answer"]}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
