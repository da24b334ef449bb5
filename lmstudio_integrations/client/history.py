"""Builds LM Studio's chat history from the messages of a framework. Pure; linear in the number of messages.

Both adapters convert their content blocks and call ``HistoryBuilder``; what a history looks like is decided here:

* An assistant message has one text part and then its tool calls.
* All results of one round of tool calls are in one tool message, each with the name of its call.
* Images of tool results follow the tool message in a user message of their own, because LM Studio's tool results hold
  only text. A short assistant message stands between the two: templates with strict alternation raise an error for a
  user message right after tool results.
* The reasoning of an assistant message goes back before its text, in its tags, for the messages since the last user
  message (models need it between tool calls; older reasoning only costs context). Tags that are special tokens
  (``<|…|>``) cannot be sent as text, and their reasoning is left out.
* Neighbouring messages of one role are merged, and a system message after the first other message becomes a user
  message, because strict templates accept neither.
* A tool call that could not be parsed stands in the message's text, as the model wrote it. If a tool result answers it,
  it is sent as a call, too, so that no result lacks its call; the wire holds only an object as arguments, so they are
  ``{}`` unless the text is one.

Prefix stability: a longer conversation begins with the bytes of the shorter one, so that LM Studio can reuse what it
has already processed. There are two exceptions. A new user message removes the reasoning of the messages before it
(not with ``send_reasoning`` ``True`` or ``False``). A message that is merged into the last one of the shorter
conversation continues that message's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeAlias, TypedDict, TypeGuard

from lmstudio_integrations.client.images import ImagePart
from lmstudio_integrations.protocol.json_text import decode

__all__ = [
    "DEFAULT_REASONING_TAGS",
    "NAMELESS_TOOL",
    "HistoryBuilder",
    "HistoryOptions",
    "MessageContent",
    "PreparedHistory",
    "ToolCallRecord",
]

Part: TypeAlias = "dict[str, Any] | ImagePart"

MessageContent: TypeAlias = "str | Sequence[str | Part]"
"""Text, or a list of texts, images and file parts in LM Studio's form (images that are on the server already)."""

ToolCallRecord: TypeAlias = "tuple[str | None, str | None, Mapping[str, Any] | str | None]"
"""An earlier tool call: id, name, and its arguments as an object or as the text that the model wrote."""

DEFAULT_REASONING_TAGS = ("<think>", "</think>")
"""The tags of reasoning that came without any (another integration's message).

Guess: these are the tags that most templates look for in an assistant message's text. LM Studio's history has no part
for reasoning.
"""

_SEPARATOR = "\n\n"
"""Stands between the texts of two merged messages."""
_BEFORE_IMAGES = "Let me look at the images."
"""The assistant message between tool results and the user message with their images."""
_BEFORE_INSTRUCTIONS = "I have the results."
"""The assistant message between tool results and a late system message, which is sent as a user message."""
_IMAGES_OF_TOOLS = "Images that the tools returned:"
NAMELESS_TOOL = "unknown_tool"
"""The name of an unparsable call that has none: the wire requires one."""


@dataclass(frozen=True, slots=True)
class PreparedHistory:
    """A history that is valid already: the client neither checks nor copies it again.

    ``messages`` are in LM Studio's wire form, except that an image which is not on the server yet is an ``ImagePart``
    in place of its part; ``images`` lists those in order. ``call_ids`` are the ids of all tool calls so far; the ids of
    new calls must differ from them.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    images: list[ImagePart] = field(default_factory=list)
    call_ids: set[str] = field(default_factory=set)

    def without_images(self) -> PreparedHistory:
        """The history without images, for counting tokens: LM Studio's templates format only text."""
        messages = [
            {"role": message["role"], "content": [part for part in message["content"] if not _is_file(part)]}
            for message in self.messages
        ]
        return PreparedHistory(messages, [], self.call_ids)


class HistoryOptions(TypedDict, total=False):
    """The settings of an adapter that decide about histories; ``HistoryBuilder`` describes them."""

    send_reasoning: bool | None
    merge_messages: bool
    message_names: bool
    fetch_images: bool


class HistoryBuilder:
    """Collects messages in their order and makes a ``PreparedHistory`` of them, once.

    Example:
        ```python
        from lmstudio_integrations.client.history import HistoryBuilder

        builder = HistoryBuilder()
        builder.add_user("How warm is it in Oslo?")
        builder.add_assistant("", calls=[("1", "weather", {"city": "Oslo"})], reasoning="I need the weather.")
        builder.add_tool_result("12 degrees", "1")
        history = builder.build()
        ```

    Args:
        send_reasoning: Whether the model's earlier reasoning goes back to it: ``True`` all of it, ``False`` none,
            ``None`` that of the messages since the last user message.
        merge_messages: Whether neighbouring messages of one role are merged, and late system messages with the user
            messages beside them.
        message_names: Whether a message's name stands before its text, as ``"name: text"``: LM Studio's history has no
            other place for it, and a supervisor must know which agent said what.
        fetch_images: Whether images may be fetched by their address. If not, the address of an image in a tool's result
            stays text. (In a user's message it is an error, but a tool's result is not the user's to change, and an
            error would end an agent.)
        text_separator: Joins the texts of one message into one part. ``None`` joins only an assistant message's, with
            nothing between them; a user message then has a part for each of its texts.
    """

    def __init__(
        self,
        *,
        send_reasoning: bool | None = None,
        merge_messages: bool = True,
        message_names: bool = False,
        fetch_images: bool = True,
        text_separator: str | None = None,
    ) -> None:
        self._send_reasoning = send_reasoning
        self._merge = merge_messages
        self._names = message_names
        self._fetch_images = fetch_images
        self._separator = text_separator
        self._made = PreparedHistory()
        self._last_role = ""
        self._call_names: dict[str, str] = {}
        self._tool_images: list[Part] = []
        # By id: calls that no tool result has answered yet, and the content of their message.
        self._invalid_calls: dict[str, tuple[list[Part], ToolCallRecord]] = {}
        # Assistant texts since the last user message, and the reasoning that belongs at an offset of each.
        self._open_reasoning: list[tuple[dict[str, Any], int, str]] = []
        # The text part that messages are being merged into; its texts are joined once.
        self._open_part: dict[str, Any] | None = None
        self._open_texts: list[str] = []
        self._open_length = 0

    def add_system(self, content: MessageContent) -> None:
        """Add instructions."""
        self._end_tool_round()
        if not self._merge or self._last_role in {"", "system"}:
            self._append("system", self._parts(content))
            return
        if self._last_role == "tool":
            self._append("assistant", [_text(_BEFORE_INSTRUCTIONS)])
        self._append("user", self._parts(content))

    def add_user(self, content: MessageContent, name: str | None = None) -> None:
        """Add a user's message."""
        self._end_tool_round()
        parts = self._parts(content)
        if name and self._names:
            _put_name(name, parts)
        self._append("user", parts)
        if self._send_reasoning is None:
            self._open_reasoning.clear()

    def add_assistant(
        self,
        content: MessageContent,
        *,
        calls: Iterable[ToolCallRecord] = (),
        invalid_calls: Iterable[ToolCallRecord] = (),
        reasoning: str = "",
        reasoning_tags: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        """Add an answer: this model's or another one's.

        ``invalid_calls`` could not be parsed; so are those of ``calls`` whose arguments are text that is no object.
        """
        self._end_tool_round()
        text, files = self._text_and_files(content)
        requests: list[Part] = []
        invalid: list[ToolCallRecord] = []
        for call in calls:
            arguments = _arguments(call[2])
            if arguments is None:
                invalid.append(call)
            else:
                requests.append(self._request(call[0], call[1], arguments))
        invalid.extend(invalid_calls)
        for _, _, written in invalid:
            if isinstance(written, str) and written not in text:
                text = f"{text}\n{written}" if text else written
        if name and text and self._names:
            text = f"{name}: {text}"
        part, offset = self._append_answer(text, files, requests)
        content_of_message = self._made.messages[-1]["content"]
        for call in invalid:
            if call[0] is not None:
                self._invalid_calls[call[0]] = content_of_message, call
                self._made.call_ids.add(call[0])
        if reasoning and self._send_reasoning is not False:
            start, end = reasoning_tags or DEFAULT_REASONING_TAGS
            if "<|" not in start and "<|" not in end:
                self._open_reasoning.append((part, offset, f"{start}{reasoning}{end}"))

    def add_tool_result(
        self, text: str, call_id: str | None, name: str | None = None, images: Iterable[Part] = ()
    ) -> None:
        """Add what a tool returned. ``name`` counts if no call has this id; ``images`` follow the round's results."""
        shown = list(images)
        if not self._fetch_images:
            addresses = [_address(image) for image in shown]
            text = "\n".join(filter(None, [text, *addresses]))
            shown = [image for image, address in zip(shown, addresses, strict=True) if address is None]
        part: dict[str, Any] = {"type": "toolCallResult", "content": text}
        if call_id is not None:
            part["toolCallId"] = call_id
            if call_id in self._invalid_calls:
                content, (_, tool, written) = self._invalid_calls.pop(call_id)
                content.append(self._request(call_id, tool or name, _arguments(written) or {}))
            name = self._call_names.get(call_id, name)
        if name:
            part["name"] = name
        if self._last_role == "tool":
            self._made.messages[-1]["content"].append(part)
        else:
            self._append("tool", [part])
        self._tool_images.extend(shown)

    def build(self) -> PreparedHistory:
        """The history. Call it once, after the last message."""
        self._end_tool_round()
        self._join_texts()
        self._insert_reasoning()
        return self._made

    def _append(self, role: str, content: list[Part]) -> None:
        if role != self._last_role or not self._merge:
            self._join_texts()
            self._made.messages.append({"role": role, "content": content})
            self._last_role = role
            return
        merged = self._made.messages[-1]["content"]
        if merged and content and _is_text(merged[-1]) and _is_text(first := content[0]):
            self._continue_text(merged[-1], first["text"])
            del content[0]
        merged.extend(content)

    def _append_answer(self, text: str, files: list[Part], requests: list[Part]) -> tuple[dict[str, Any], int]:
        """The text part that holds ``text``, and where in it ``text`` begins."""
        if self._last_role != "assistant" or not self._merge:
            part = _text(text)
            self._append("assistant", [part, *files, *requests])
            return part, 0
        content = self._made.messages[-1]["content"]
        if files:
            content[:] = [
                *(part for part in content if not _is_call(part)),
                *files,
                *(part for part in content if _is_call(part)),
            ]
        content.extend(requests)
        return content[0], self._continue_text(content[0], text)

    def _continue_text(self, part: dict[str, Any], text: str) -> int:
        """Add ``text`` to ``part`` behind a separator; returns where it begins."""
        if self._open_part is not part:
            self._join_texts()
            self._open_part = part
            self._open_texts = [part["text"]]
            self._open_length = len(part["text"])
        if text and self._open_length:
            self._open_texts.append(_SEPARATOR)
            self._open_length += len(_SEPARATOR)
        start = self._open_length
        self._open_texts.append(text)
        self._open_length += len(text)
        return start

    def _join_texts(self) -> None:
        if self._open_part is not None:
            self._open_part["text"] = "".join(self._open_texts)
            self._open_part = None

    def _end_tool_round(self) -> None:
        """Add the images of the tool results since the last other message."""
        if self._tool_images:
            images, self._tool_images = self._tool_images, []
            self._append("assistant", [_text(_BEFORE_IMAGES)])
            self._append("user", [_text(_IMAGES_OF_TOOLS), *self._noted(images)])

    def _insert_reasoning(self) -> None:
        for _, entries in groupby(self._open_reasoning, lambda entry: id(entry[0])):
            same_part = list(entries)
            part = same_part[0][0]
            text, done = part["text"], 0
            pieces: list[str] = []
            for _, offset, reasoning in same_part:
                pieces += [text[done:offset], reasoning]
                done = offset
            part["text"] = "".join([*pieces, text[done:]])

    def _request(self, call_id: str | None, name: str | None, arguments: dict[str, Any]) -> dict[str, Any]:
        request: dict[str, Any] = {}
        name = name or NAMELESS_TOOL
        if call_id is not None:
            request["id"] = call_id
            self._call_names[call_id] = name
            self._made.call_ids.add(call_id)
        request["type"] = "function"
        request["name"] = name
        request["arguments"] = arguments
        return {"type": "toolCallRequest", "toolCallRequest": request}

    def _parts(self, content: MessageContent) -> list[Part]:
        if isinstance(content, str):
            return [_text(content)]
        parts: list[Part] = []
        texts: list[str] = []
        for item in content:
            if isinstance(item, str) and self._separator is not None:
                texts.append(item)
                continue
            if texts:
                parts.append(_text((self._separator or "").join(texts)))
                texts.clear()
            parts.append(_text(item) if isinstance(item, str) else item)
        if texts:
            parts.append(_text((self._separator or "").join(texts)))
        return self._noted(parts) or [_text("")]

    def _text_and_files(self, content: MessageContent) -> tuple[str, list[Part]]:
        if isinstance(content, str):
            return content, []
        text = (self._separator or "").join([item for item in content if isinstance(item, str)])
        return text, self._noted(_no_texts(content))

    def _noted(self, parts: list[Part]) -> list[Part]:
        self._made.images.extend([part for part in parts if isinstance(part, ImagePart)])
        return parts


def _address(image: Part) -> str | None:
    """The line for an image that is only an address."""
    if not isinstance(image, ImagePart) or image.url is None:
        return None
    return f"[image at {image.url[:200]}: not fetched, because fetch_images is off]"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _no_texts(content: Iterable[str | Part]) -> list[Part]:
    return [item for item in content if not isinstance(item, str)]


def _is_text(part: Part) -> TypeGuard[dict[str, Any]]:
    return isinstance(part, dict) and part["type"] == "text"


def _is_call(part: Part) -> TypeGuard[dict[str, Any]]:
    return isinstance(part, dict) and part["type"] == "toolCallRequest"


def _is_file(part: Part) -> bool:
    return not isinstance(part, dict) or part["type"] == "file"


def _put_name(name: str, parts: list[Part]) -> None:
    for part in parts:
        if _is_text(part):
            part["text"] = f"{name}: {part['text']}"
            return
    parts.insert(0, _text(f"{name}:"))


def _arguments(value: Any) -> dict[str, Any] | None:
    """Arguments as the object that the wire holds; ``None`` if they are none, or the text of none."""
    if isinstance(value, Mapping):
        return dict(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    try:
        parsed = decode(value)
    except (TypeError, ValueError):
        return None
    return parsed if isinstance(parsed, dict) else None
