"""``Chat``: a call that is kept, and every other form in which a history may be passed.

LM Studio's documentation, "Chat Completion", sections "Chats and calls" and "Using JSON chat histories"; the
rules of the wire are PROTOCOL's section on the history (lmstudio-js, ``ChatHistoryData``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeAlias

from pydantic import ValidationError

from lmstudio_integrations.client.result import PredictionResult
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol._model import WireModel
from lmstudio_integrations.protocol.history import (
    AssistantMessage,
    ChatHistory,
    FilePart,
    Message,
    SystemMessage,
    TextPart,
    ToolCallRequest,
    ToolCallRequestPart,
    ToolCallResultPart,
    ToolMessage,
    UserMessage,
)

__all__ = ["Chat", "History", "as_history", "read_history"]

History: TypeAlias = "str | Mapping[str, Any] | Sequence[Mapping[str, Any] | Message] | Chat | ChatHistory"
"""What ``respond`` takes: a user's text, a JSON history, a list of messages, or a ``Chat``."""

_MESSAGES: dict[str, type[SystemMessage | UserMessage | AssistantMessage | ToolMessage]] = {
    "system": SystemMessage,
    "user": UserMessage,
    "assistant": AssistantMessage,
    "tool": ToolMessage,
}
_MESSAGE_KEYS = {"role", "content"}
_PART_KEYS: dict[str, tuple[set[str], tuple[str, ...]]] = {
    # part type: its keys, and the roles that may hold it
    "text": ({"type", "text"}, ("system", "user", "assistant")),
    "file": (
        {"type", "name", "identifier", "sizeBytes", "size_bytes", "fileType", "file_type"},
        ("system", "user", "assistant"),
    ),
    "toolCallRequest": ({"type", "toolCallRequest", "tool_call_request"}, ("assistant",)),
    "toolCallResult": ({"type", "content", "toolCallId", "tool_call_id", "name"}, ("tool",)),
}
_CALL_KEYS = {"id", "type", "name", "arguments"}


class Chat:
    """A call: system prompt, user messages, assistant responses, tool results.

    ``Chat("You are terse.")`` begins with a system prompt; ``Chat.from_history`` reads text, a JSON history
    (``{"messages": [...]}``), a list of messages, or another ``Chat``. Every method that adds returns the message.
    """

    def __init__(self, initial_prompt: str | None = None) -> None:
        self._messages: list[Message] = []
        if initial_prompt is not None:
            self.add_system_prompt(initial_prompt)

    @classmethod
    def from_history(cls, history: Any) -> Self:
        """A new chat from what ``respond`` takes. Raises ``LMStudioValueError`` naming the message that is wrong."""
        chat = cls()
        chat._messages = read_history(history).messages
        return chat

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages so far."""
        return tuple(self._messages)

    def add_system_prompt(self, prompt: str) -> SystemMessage:
        """Add a system prompt."""
        message = SystemMessage(role="system", content=[TextPart(text=_text(prompt, "a system prompt"))])
        self._messages.append(message)
        return message

    def add_user_message(self, content: str, *, images: Sequence[FilePart] = ()) -> UserMessage:
        """Add a user's message; ``images`` are handles from ``client.files.prepare_image``."""
        parts: list[Any] = [TextPart(text=_text(content, "a user message"))]
        for image in images:
            if not isinstance(image, FilePart):
                raise LMStudioValueError(
                    f"images hold what client.files.prepare_image(…) returns, not {type(image).__name__}"
                )
            parts.append(image)
        message = UserMessage(role="user", content=parts)
        self._messages.append(message)
        return message

    def add_assistant_response(
        self, response: PredictionResult | str, tool_calls: Iterable[ToolCallRequest | Mapping[str, Any]] = ()
    ) -> AssistantMessage:
        """Add the model's answer: a result (its ``content`` and tool calls, structured or not) or text."""
        calls = [_tool_call(call) for call in tool_calls]
        if isinstance(response, PredictionResult):
            text = response.content
            calls = calls or list(response.tool_calls)
        else:
            text = _text(response, "an assistant response")
        # The official SDKs put a text part first even where it is empty.
        parts: list[Any] = [TextPart(text=text), *(ToolCallRequestPart(tool_call_request=call) for call in calls)]
        message = AssistantMessage(role="assistant", content=parts)
        self._messages.append(message)
        return message

    def add_tool_results(self, results: Iterable[ToolCallResultPart | Mapping[str, Any]]) -> ToolMessage:
        """Add the results of a round of tool calls: ``{"content": text, "tool_call_id": id, "name": tool}`` each."""
        parts: list[Any] = []
        for number, result in enumerate(results):
            if isinstance(result, ToolCallResultPart):
                parts.append(result)
            else:
                parts.append(_part({"type": "toolCallResult", **result}, "tool", f"tool result {number}"))
        if not parts:
            raise LMStudioValueError("add_tool_results needs at least one result")
        message = ToolMessage(role="tool", content=parts)
        self._messages.append(message)
        return message

    def append(self, message: Any) -> Message:
        """Add one message: a message object, or ``{"role": …, "content": …}``."""
        wire = _message(message, f"message {len(self._messages)}")
        made = _MESSAGES[wire["role"]].model_validate(wire)
        self._messages.append(made)
        return made

    def copy(self) -> Self:
        """A chat of its own with the same messages; adding to one leaves the other alone."""
        made = type(self)()
        made._messages = [message.model_copy(deep=True) for message in self._messages]
        return made

    def to_history(self) -> dict[str, Any]:
        """LM Studio's JSON: ``{"messages": [{"role", "content": [parts]}]}``. ``from_history`` reads it back."""
        return ChatHistory(messages=self._messages).to_wire()

    def to_json(self) -> str:
        """``to_history`` as text."""
        return json.dumps(self.to_history(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The chat that ``to_json`` wrote."""
        try:
            history = json.loads(text)
        except ValueError as error:
            raise LMStudioValueError(f"this is no JSON history: {error}") from error
        return cls.from_history(history)

    def __iter__(self) -> Iterator[Message]:
        return iter(tuple(self._messages))

    def __len__(self) -> int:
        return len(self._messages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chat) and self._messages == other._messages

    __hash__ = None  # type: ignore[assignment]  # it can be added to

    def __repr__(self) -> str:
        return f"Chat({len(self._messages)} messages)"


def as_history(history: Any) -> dict[str, Any]:
    """Any accepted form as LM Studio's JSON history. Raises ``LMStudioValueError`` for what it has no place for."""
    return {"messages": list(_read(history))}


def read_history(history: Any) -> ChatHistory:
    """Any accepted form as a history of its own. Raises ``LMStudioValueError`` for what it has no place for."""
    return ChatHistory.model_validate(as_history(history))


def _read(history: Any) -> Iterator[dict[str, Any]]:
    if isinstance(history, Chat):
        yield from (message.to_wire() for message in history._messages)
    elif isinstance(history, ChatHistory):
        yield from (message.to_wire() for message in history.messages)
    elif isinstance(history, str):
        yield {"role": "user", "content": [_part(history, "user", "a prompt")]}
    elif isinstance(history, Mapping):
        if set(history) != {"messages"} or not _is_list(history["messages"]):
            raise LMStudioValueError(
                "a history is {'messages': [{'role': …, 'content': …}]}; "
                f"this one has the keys {sorted(map(str, history))}"
            )
        yield from _read(history["messages"])
    elif _is_list(history):
        for number, message in enumerate(history):
            yield _message(message, f"message {number}")
    else:
        raise LMStudioValueError(
            f"{type(history).__name__} is no history: "
            "pass a string, a dict with 'messages', a list of messages, or a Chat"
        )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        if isinstance(message, (SystemMessage, UserMessage, AssistantMessage, ToolMessage)):
            return message.to_wire()
        raise LMStudioValueError(f"{where} is {type(message).__name__}: pass {{'role': …, 'content': …}}")
    role = message.get("role")
    if not isinstance(role, str) or role not in _MESSAGES:
        raise LMStudioValueError(f"{where} has the role {role!r}: LM Studio knows {', '.join(_MESSAGES)}")
    if not message.keys() <= _MESSAGE_KEYS:
        unknown = min(map(str, message.keys() - _MESSAGE_KEYS))
        raise LMStudioValueError(f"{where} has the key {unknown!r}: a message holds role and content")
    content: Any = message.get("content")
    if isinstance(content, str):
        if role == "tool":
            raise LMStudioValueError(f"{where}: a tool message holds toolCallResult parts, not text")
        content = [{"type": "text", "text": content}]
    if not _is_list(content):
        raise LMStudioValueError(f"{where} has the content {content!r}: pass text or a list of parts")
    return {"role": role, "content": [_part(part, role, where) for part in content]}


def _part(part: Any, role: str, where: str) -> dict[str, Any]:
    """The part as it travels, its keys in LM Studio's order, so that the same part is always the same text."""
    if isinstance(part, str):
        part = {"type": "text", "text": part}
    if not isinstance(part, Mapping):
        if isinstance(part, (TextPart, FilePart, ToolCallRequestPart, ToolCallResultPart)):
            return _part(part.to_wire(), role, where)
        raise LMStudioValueError(f"{where} holds {part!r}: a part is text or {{'type': …}}")
    kind = part.get("type", "")
    known = _PART_KEYS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise LMStudioValueError(f"{where} holds a part of the type {kind!r}: LM Studio knows {', '.join(_PART_KEYS)}")
    keys, roles = known
    if role not in roles:
        raise LMStudioValueError(
            f"{where}: a {role} message cannot hold a part of the type {kind!r} (only {', '.join(roles)} can)"
        )
    if not part.keys() <= keys:
        unknown = min(map(str, part.keys() - keys))
        raise LMStudioValueError(f"{where}: a part of the type {kind!r} has no key {unknown!r}")
    text = part.get("text")
    if kind == "text" and type(text) is str:
        return {"type": "text", "text": text}  # nearly all of a history, and a model for each is most of a request
    given = dict(part)  # what is optional may be None: it leaves no key on the wire
    for key in ("toolCallRequest", "tool_call_request"):
        if key in given:
            given[key] = _tool_call(given[key], f"{where}: ")
    try:
        made: WireModel = _PARTS[kind].model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or kind
        raise LMStudioValueError(
            f"{where}: {at} of a part of the type {kind!r}: {first['msg']}, not {first['input']!r}"
        ) from None
    return made.to_wire()


_PARTS: dict[str, Any] = {
    "text": TextPart,
    "file": FilePart,
    "toolCallRequest": ToolCallRequestPart,
    "toolCallResult": ToolCallResultPart,
}


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise LMStudioValueError(f"{what} is text, not {type(value).__name__}")
    return value


def _tool_call(call: Any, where: str = "") -> ToolCallRequest:
    if isinstance(call, ToolCallRequest):
        return call
    try:
        unknown = set(call) - _CALL_KEYS
        if not unknown:
            return ToolCallRequest.model_validate(dict(call))
        why = f"it has no key {min(map(str, unknown))!r}"
    except (ValidationError, TypeError, ValueError):
        why = "a value will not do"
    raise LMStudioValueError(
        f"{where}{call!r} is no tool call ({why}): pass {{'name': …, 'arguments': {{…}}, 'id': …}}"
    )
