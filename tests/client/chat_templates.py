"""Chat templates with the rules of three model families, to prove that a history passes them.

Written for these tests: each has the checks that make the family's templates fail, and only as much format as tells the
messages apart. ``render`` first does what LM Studio does with a history. Guess: a text for each message, ``[IMG]`` for
an image, one message for each tool result; for a template without tools, calls as text and results as user messages
("default tool use support" in LM Studio's documentation).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

MISTRAL = """
{%- if messages and messages[0].role == "system" -%}
  {%- set instructions, turns = messages[0].content, messages[1:] -%}
{%- else -%}
  {%- set instructions, turns = "", messages -%}
{%- endif -%}
{%- set state = namespace(count=0) -%}
{%- for turn in turns if turn.role == "user" or (turn.role == "assistant" and not turn.tool_calls) -%}
  {%- if (turn.role == "user") != (state.count % 2 == 0) -%}
    {{ raise_exception("user and assistant must take turns, calls and results aside") }}
  {%- endif -%}
  {%- set state.count = state.count + 1 -%}
{%- endfor -%}
<s>{% if instructions %}[SYSTEM]{{ instructions }}[/SYSTEM]{% endif %}
{%- for turn in turns -%}
  {%- if turn.role == "user" -%}[INST]{{ turn.content }}[/INST]
  {%- elif turn.role == "tool" -%}[RESULT]{{ turn.content }}[/RESULT]
  {%- elif turn.role == "assistant" -%}
    {{ turn.content }}{% for call in turn.tool_calls %}[CALL]{{ call.name }}{{ call.arguments }}{% endfor %}</s>
  {%- else -%}{{ raise_exception("a message of the role " ~ turn.role ~ " must be the first") }}
  {%- endif -%}
{%- endfor -%}
"""

GEMMA = """
{%- if messages and messages[0].role == "system" -%}
  {%- set instructions, turns = messages[0].content ~ "\\n", messages[1:] -%}
{%- else -%}
  {%- set instructions, turns = "", messages -%}
{%- endif -%}
<bos>
{%- for turn in turns -%}
  {%- if (turn.role == "user") != (loop.index0 % 2 == 0) -%}
    {{ raise_exception("every second message must be the user's") }}
  {%- endif -%}
  <turn>{{ "model" if turn.role == "assistant" else turn.role }}
{{ instructions if loop.first }}{{ turn.content }}</turn>
{% endfor -%}
"""

QWEN = """
{%- set state = namespace(last=-1) -%}
{%- for turn in messages if turn.role == "user" -%}{%- set state.last = messages.index(turn) -%}{%- endfor -%}
{%- if state.last < 0 -%}{{ raise_exception("the user must ask something") }}{%- endif -%}
{%- for turn in messages -%}
  {%- if turn.role == "system" and not loop.first -%}
    {{ raise_exception("the system message must be the first") }}
  {%- elif turn.role == "tool" -%}
    {%- if loop.previtem.role != "tool" -%}<|start|>user{% endif %}
<result>{{ turn.content }}</result>
    {%- if loop.last or loop.nextitem.role != "tool" -%}<|end|>
{% endif -%}
  {%- else -%}
    <|start|>{{ turn.role }}
{{ turn.content }}{% for call in turn.tool_calls or () %}<call>{{ call.name }}{{ call.arguments }}</call>{% endfor %}<|end|>
{% endif -%}
{%- endfor -%}
"""


class TemplateError(Exception):
    """A template refused the messages."""


def render(template: str, history: Mapping[str, Any]) -> str:
    """The prompt that a template makes of a history. Raises ``TemplateError`` if the template refuses it."""
    turns = _turns_without_tools if template is GEMMA else _turns
    return _compiled(template).render(messages=[turn for message in history["messages"] for turn in turns(message)])


@cache
def _compiled(template: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment()
    environment.globals["raise_exception"] = _raise
    return environment.from_string(template)


def _raise(reason: str) -> None:
    raise TemplateError(reason)


def _turns(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    parts = message["content"]
    if message["role"] == "tool":
        return [{"role": "tool", "content": part["content"]} for part in parts]
    turn: dict[str, Any] = {"role": message["role"], "content": "".join(map(_text_of, parts))}
    calls = [part["toolCallRequest"] for part in parts if _kind(part) == "toolCallRequest"]
    if calls:
        turn["tool_calls"] = [{"name": call["name"], "arguments": json.dumps(call["arguments"])} for call in calls]
    return [turn]


def _turns_without_tools(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    turns = _turns(message)
    if message["role"] == "tool":
        return [{"role": "user", "content": "\n".join(f"<result>{turn['content']}</result>" for turn in turns)}]
    for call in turns[0].pop("tool_calls", ()):
        turns[0]["content"] += f"<call>{call['name']}{call['arguments']}</call>"
    return turns


def _kind(part: Any) -> str:
    return str(part["type"]) if isinstance(part, dict) else "file"


def _text_of(part: Any) -> str:
    return {"text": part["text"] if _kind(part) == "text" else "", "file": "[IMG]"}.get(_kind(part), "")
