"""LangChain messages -> LM Studio's history, as plain dicts in wire form.

The same messages always become the same bytes, and a longer conversation begins with those of the shorter one, so that
LM Studio can reuse what it has already read:

* one text part per assistant message, all its texts joined, then its tool calls with the arguments as the model gave
  them;
* all results of one round in one tool message, in the order in which they stand;
* images from tools follow in a user message of their own, because LM Studio's tool results hold only text;
* an assistant message's reasoning goes back before its text, in the tags that it came in, unless those are special
  tokens of the model's template (``<|…|>``), which LM Studio would not read as such in a text. What earlier reasoning a
  model gets to see is then up to its template.

LM Studio's history has no place for the names of messages; they are left out.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain.convert.images import Picture, image_block, is_image_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["DEFAULT_TAGS", "Conversation", "conversation", "text_only"]

DEFAULT_TAGS = ("<think>", "</think>")
"""Where a message does not say which tags its reasoning came in (another provider made it).

Guess: these are the tags that most templates with reasoning look for in an assistant message's text. LM Studio's
history has no part for reasoning.
"""

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}
_CALL_BLOCKS = {"tool_call", "tool_use"}
# What other providers leave in their own messages and no other model can read.
_FOREIGN_BLOCKS = {
    "tool_call_chunk",
    "invalid_tool_call",
    "input_json_delta",
    "function_call",
    "redacted_thinking",
    "server_tool_call",
    "server_tool_call_chunk",
    "server_tool_result",
    "server_tool_use",
    "web_search_tool_result",
    "non_standard",
}


@dataclass(slots=True)
class Conversation:
    """``messages`` in LM Studio's form; ``pictures`` have to be uploaded before they are complete."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    call_ids: set[str] = field(default_factory=set)
    """The ids of all tool calls so far: new ones must differ."""

    def history(self) -> dict[str, Any]:
        """What ``respond`` takes."""
        return {"messages": self.messages}


def conversation(messages: Sequence[BaseMessage], *, reasoning: bool = True) -> Conversation:
    """``messages`` for LM Studio; ``reasoning``: whether the model's earlier thoughts go back to it.

    Raises ``LMStudioValueError`` for a message or content block that LM Studio has no place for.
    """
    writer = _Writer(keep_reasoning=reasoning)
    for message in messages:
        writer.add(message)
    writer.end_round()
    return writer.made


def text_only(history: Mapping[str, Any], pictures: Iterable[Picture]) -> dict[str, Any]:
    """``history`` without the parts that ``pictures`` stand for."""
    parts = {id(picture.part) for picture in pictures}
    return {
        "messages": [
            {"role": message["role"], "content": [part for part in message["content"] if id(part) not in parts]}
            for message in history["messages"]
        ]
    }


class _Writer:
    def __init__(self, *, keep_reasoning: bool) -> None:
        self.made = Conversation()
        self._keep_reasoning = keep_reasoning
        self._tool_names: dict[str, str] = {}
        self._round: list[dict[str, Any]] = []
        self._round_pictures: list[dict[str, Any]] = []

    def add(self, message: BaseMessage) -> None:
        if isinstance(message, ToolMessage):
            self._tool_result(message.content, message.tool_call_id, message.name)
            return
        role = _role(message)
        if role == "assistant":
            self.end_round()
            self._assistant(message)
        else:
            self._user_or_system(role, message)

    def end_round(self) -> None:
        """Write the tool results that were gathered, and the images that came with them."""
        if self._round:
            self._message("tool", self._round)
            self._round = []
        if self._round_pictures:
            self._message("user", [_text("Images that the tools returned:"), *self._round_pictures])
            self._round_pictures = []

    def _message(self, role: str, content: list[dict[str, Any]]) -> None:
        self.made.messages.append({"role": role, "content": content})

    def _image(self, block: Mapping[str, Any]) -> dict[str, Any]:
        found = image_block(block)
        if isinstance(found, Picture):
            self.made.pictures.append(found)
            return found.part
        return found

    def _user_or_system(self, role: str, message: BaseMessage) -> None:
        parts: list[dict[str, Any]] = []
        only_results = False
        for block in _blocks(message.content):
            if block.get("type") == "tool_result":  # Anthropic's form of a tool message
                only_results = True
                self._tool_result(block.get("content") or "", str(block.get("tool_use_id") or ""), None)
            elif is_image_block(block):
                parts.append(self._image(block))
            elif (text := _text_in(block)) is not None:
                parts.append(_text(text))
            else:
                raise _no_place(block, role)
        if parts or not only_results:
            self.end_round()
            self._message(role, parts or [_text("")])

    def _assistant(self, message: BaseMessage) -> None:
        texts: list[str] = []
        thoughts: list[str] = []
        files: list[dict[str, Any]] = []
        calls = list(message.tool_calls) if isinstance(message, AIMessage) else []
        known = {call["id"] for call in calls}
        for block in _blocks(message.content):
            kind = block.get("type")
            if kind in _CALL_BLOCKS:
                if block.get("id") not in known:
                    args = block["args"] if "args" in block else block.get("input") or {}
                    calls.append({"name": block["name"], "args": args, "id": block.get("id"), "type": "tool_call"})
            elif kind in {"reasoning", "thinking"}:
                thoughts.append(str(block.get("reasoning") or block.get("thinking") or ""))
            elif is_image_block(block):
                files.append(self._image(block))
            elif (text := _text_in(block)) is not None:
                texts.append(text)
            elif kind not in _FOREIGN_BLOCKS:
                raise _no_place(block, "assistant")
        texts.extend(_failed_calls(message))
        # Blocks and additional_kwargs may hold the same thoughts (output_version "v1").
        thought = "".join(thoughts) or str(message.additional_kwargs.get("reasoning_content") or "")
        text = self._with_thoughts(message, thought) + "".join(texts)
        self._message("assistant", [_text(text), *files, *(self._call(call) for call in calls)])

    def _with_thoughts(self, message: BaseMessage, thoughts: str) -> str:
        if not thoughts or not self._keep_reasoning:
            return ""
        start, end = message.additional_kwargs.get("reasoning_tags") or DEFAULT_TAGS
        if "<|" in start or "<|" in end:
            return ""
        return f"{start}{thoughts}{end}"

    def _call(self, call: Any) -> dict[str, Any]:
        request: dict[str, Any] = {}
        if call["id"] is not None:
            request["id"] = call["id"]
            self._tool_names[call["id"]] = call["name"]
            self.made.call_ids.add(call["id"])
        request.update({"type": "function", "name": call["name"], "arguments": call["args"]})
        return {"type": "toolCallRequest", "toolCallRequest": request}

    def _tool_result(self, content: Any, call_id: str, name: str | None) -> None:
        # Guess: the text goes as it is. LM Studio's own SDKs encode even text as JSON, which models read less well.
        texts: list[str] = []
        for block in _blocks(content):
            if is_image_block(block):
                self._round_pictures.append(self._image(block))
            elif (text := _text_in(block)) is not None:
                texts.append(text)
            elif block.get("type") not in _CALL_BLOCKS | _FOREIGN_BLOCKS:
                texts.append(json.dumps(block, ensure_ascii=False, default=str))
        part = {"type": "toolCallResult", "content": "\n".join(texts), "toolCallId": call_id}
        if name := self._tool_names.get(call_id, name):
            part["name"] = name
        self._round.append(part)


def _role(message: BaseMessage) -> str:
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, ChatMessage) and (role := _ROLES.get(message.role)):
        return role
    given = f"role {message.role!r}" if isinstance(message, ChatMessage) else f"type {type(message).__name__}"
    raise LMStudioValueError(
        f"LM Studio has no place for a message of {given}: use SystemMessage, HumanMessage, AIMessage or ToolMessage, "
        f"or a ChatMessage with one of the roles {', '.join(_ROLES)}"
    )


def _blocks(content: Any) -> Iterable[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]


def _text_in(block: Mapping[str, Any]) -> str | None:
    """The text of a block that is nothing but text, else ``None``."""
    kind = block.get("type")
    if kind in {"text", "text-plain", "input_text", "output_text", None} and isinstance(block.get("text"), str):
        return str(block["text"])
    if kind in {"file", "text-plain"} and str(block.get("mime_type", "text/plain")).startswith("text/"):
        data = block.get("base64")
        if isinstance(data, str):
            return base64.b64decode(data).decode("utf-8", "replace")
    return None


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _failed_calls(message: BaseMessage) -> list[str]:
    """The text of calls that were no valid calls, as the model wrote it."""
    failed = message.response_metadata.get("failed_tool_calls")
    if isinstance(failed, list):
        return [str(call.get("raw_content") or call.get("arguments") or "") for call in failed]
    invalid = message.invalid_tool_calls if isinstance(message, AIMessage) else []
    return [call["args"] or "" for call in invalid]


def _no_place(block: Mapping[str, Any], role: str) -> LMStudioValueError:
    kind = block.get("type")
    hint = {
        "audio": "LM Studio's models take no audio",
        "input_audio": "LM Studio's models take no audio",
        "video": "LM Studio's models take no video",
        "file": "put a document's text into a text block",
    }.get(str(kind), "use text, text-plain or image blocks")
    return LMStudioValueError(
        f"LM Studio has no place for a content block of type {kind!r} in a {role} message: {hint}"
    )
