"""``Chat``: a conversation that grows, and all other forms of a history.

LM Studio's documentation, "Chat Completion", sections "Chats and conversations" and "Using JSON chat histories"; the
rules of the wire are PROTOCOL's section on the history (lmstudio-js, ``ChatHistoryData``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

from pydantic import ValidationError

from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.client.images import FileSource, ImagePart, image_part
from lmstudio_integrations.client.result import PredictionResult
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol._model import WireModel, to_jsonable
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
from lmstudio_integrations.protocol.json_text import encode

__all__ = ["Chat", "History", "as_history", "encode_history", "read_history"]

_quoted = json.JSONEncoder(ensure_ascii=False).encode

History: TypeAlias = (
    "str | Mapping[str, Any] | Sequence[Mapping[str, Any] | Message] | Chat | ChatHistory | PreparedHistory"
)
"""What ``respond`` takes: a user's text, a JSON history, a list of messages, a ``Chat``, or a prepared history.

An image that is not on the server yet is an ``ImagePart`` in place of a part.
"""

UserContent: TypeAlias = "str | TextPart | FilePart | Mapping[str, Any]"
"""A part of a user's message: text, a text part, a file handle or an ``ImagePart``, or a part as a dictionary."""

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
    "image": ({"type", "name", "path", "base64", "url", "data"}, ("system", "user", "assistant")),
    "toolCallRequest": ({"type", "toolCallRequest", "tool_call_request"}, ("assistant",)),
    "toolCallResult": ({"type", "content", "toolCallId", "tool_call_id", "name"}, ("tool",)),
}
_CALL_KEYS = {"id", "type", "name", "arguments"}


class Chat:
    """A conversation: system prompt, user messages, assistant responses, tool results.

    Example: A conversation
        ```python
        from lmstudio_integrations import Chat, Client

        model = Client().llm.just_in_time("qwen/qwen3-4b")
        chat = Chat("Answer in one sentence.")
        chat.add_user_message("Why is the sky blue?")
        chat.add_assistant_response(model.respond(chat))
        chat.add_user_message("Why is the sea blue?")
        chat.add_assistant_response(model.respond(chat))
        print(chat)
        #> system: Answer in one sentence.
        #> user: Why is the sky blue?
        #> assistant: Air scatters blue light more than red.
        #> user: Why is the sea blue?
        #> assistant: It mirrors the sky.
        ```

    Example: Images
        ```python
        chat = Chat()
        chat.add_user_message("What is in this picture?", images=["photo.jpg"])  # uploaded when the chat is sent
        print(model.respond(chat))
        #> A harbour crane.
        ```

    Example: Store and read
        ```python
        text = chat.to_json()
        print(Chat.from_json(text).messages[0].role, len(Chat.from_history("Why is the sky blue?")))
        #> user 1
        ```

    ``Chat.from_history`` reads text, a JSON history (``{"messages": [...]}``), a list of messages, or another ``Chat``.
    Every method that adds a message returns it.

    Raises:
        LMStudioValueError: A message is one that LM Studio cannot take.

    Source: LM Studio, "Working with Chats" (lmstudio-python).
    """

    def __init__(self, initial_prompt: str | None = None) -> None:
        self._messages: list[Message] = []
        if initial_prompt is not None:
            self.add_system_prompt(initial_prompt)

    @classmethod
    def from_history(cls, history: Any) -> Self:
        """A new chat from anything that ``respond`` takes. The ``LMStudioValueError`` it raises names the message."""
        chat = cls()
        chat._messages = read_history(history).messages
        return chat

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages so far."""
        return tuple(self._messages)

    def add_system_prompt(self, prompt: str | TextPart | Mapping[str, Any]) -> SystemMessage:
        """Add a system prompt: text, or a text part."""
        message = SystemMessage(role="system", content=self._parts(prompt, "system"))
        self._messages.append(message)
        return message

    def add_user_message(
        self, content: UserContent | Iterable[UserContent], *, images: Sequence[FilePart | FileSource] = ()
    ) -> UserMessage:
        """Add a user's message: text, a part, or a list of them, with ``images``.

        Images are paths, bytes, binary files, URLs, ``ImagePart`` objects, or handles. They are uploaded when the chat
        is sent. A handle (from ``client.files.prepare_image``) has been uploaded.
        """
        parts = self._parts(content, "user")
        parts += [image_part(image, f"message {len(self._messages)}") for image in images]
        message = UserMessage(role="user", content=parts)
        self._messages.append(message)
        return message

    def _parts(self, content: Any, role: str) -> list[Any]:
        """One part or several as a list of part objects."""
        where = f"message {len(self._messages)}"
        single = isinstance(content, (str, Mapping, WireModel))
        if not single and not _are_several(content):
            raise LMStudioValueError(f"{where}: expected text, a part or a list of them, got {type(content).__name__}")
        parts = [_part(part, role, where) for part in ([content] if single else content)]
        return [part if isinstance(part, ImagePart) else _PARTS[part["type"]].model_validate(part) for part in parts]

    def add_assistant_response(
        self,
        response: PredictionResult | str | TextPart | Mapping[str, Any],
        tool_calls: Iterable[ToolCallRequest | ToolCallRequestPart | Mapping[str, Any]] = (),
        *,
        tool_call_requests: Iterable[ToolCallRequest | ToolCallRequestPart | Mapping[str, Any]] = (),
    ) -> AssistantMessage:
        """Add a result (its ``content`` and tool calls) or text. ``tool_calls`` replace the result's own.

        ``tool_call_requests`` is ``tool_calls`` under the official SDK's name.
        """
        calls = [_tool_call(_request(call)) for call in (*tool_calls, *tool_call_requests)]
        if isinstance(response, PredictionResult):
            text = response.content
            calls = calls or list(response.tool_calls)
        elif isinstance(response, (TextPart, Mapping)):
            text = "".join(part.text for part in self._parts(response, "assistant") if isinstance(part, TextPart))
        else:
            text = _text(response, "an assistant response")
        # The official SDKs put a text part first, even an empty one.
        parts: list[Any] = [TextPart(text=text), *(ToolCallRequestPart(tool_call_request=call) for call in calls)]
        message = AssistantMessage(role="assistant", content=parts)
        self._messages.append(message)
        return message

    def add_tool_results(self, results: Iterable[ToolCallResultPart | Mapping[str, Any]]) -> ToolMessage:
        """Add the results of a round of tool calls, each as ``{"content": text, "tool_call_id": id, "name": tool}``."""
        if not _are_several(results):
            raise LMStudioValueError(f"expected a list of tool results, got {type(results).__name__}")
        parts: list[Any] = []
        for number, result in enumerate(results):
            part = {"type": "toolCallResult", **result} if isinstance(result, Mapping) else result
            parts.append(_part(part, "tool", f"tool result {number}"))
        if not parts:
            raise LMStudioValueError("expected at least one tool result, got none")
        message = ToolMessage(role="tool", content=parts)
        self._messages.append(message)
        return message

    def add_tool_result(self, result: ToolCallResultPart | Mapping[str, Any]) -> ToolMessage:
        """Add the result of a single tool call."""
        return self.add_tool_results([result])

    def add_entry(self, role: str, content: Any) -> Message:
        """Add a message of any role: text, a part, or a list of parts (of an assistant also tool calls)."""
        if role == "tool":
            results: Any = [content] if isinstance(content, (Mapping, WireModel)) else content
            return self.add_tool_results(results)
        parts = [content] if isinstance(content, (Mapping, WireModel)) else content
        return self.append({"role": role, "content": [*map(_entry_part, parts)] if _are_several(parts) else parts})

    def append(self, message: Any) -> Message:
        """Add one message: a message object, or ``{"role": …, "content": …}``."""
        wire = _message(message, f"message {len(self._messages)}")
        made = _MESSAGES[wire["role"]].model_validate(wire)
        self._messages.append(made)
        return made

    def copy(self) -> Self:
        """An independent chat with the same messages."""
        made = type(self)()
        made._messages = [message.model_copy(deep=True) for message in self._messages]
        return made

    __copy__ = copy  # Python's own copy would share the list of messages

    def to_history(self) -> dict[str, Any]:
        """LM Studio's JSON: ``{"messages": [{"role", "content": [parts]}]}``. ``from_history`` reads it back.

        An image that is not on the server yet is written with its content, as ``{"type": "image", "base64": …}``.
        """
        history = as_history(self)
        for message in history["messages"]:
            message["content"] = [
                part.to_history() if isinstance(part, ImagePart) else part for part in message["content"]
            ]
        return history

    def to_json(self) -> str:
        """``to_history`` as text."""
        return json.dumps(self.to_history(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote."""
        try:
            history = json.loads(text)
        except ValueError as error:
            raise LMStudioValueError(f"expected a history as JSON text: {error}") from error
        return cls.from_history(history)

    def __iter__(self) -> Iterator[Message]:
        return iter(tuple(self._messages))

    def __len__(self) -> int:
        return len(self._messages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chat) and self._messages == other._messages

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # a chat is mutable

    def __repr__(self) -> str:
        return f"Chat({len(self._messages)} messages)"

    def __str__(self) -> str:
        """The conversation for people: a line for each part, behind the role of its message.

        An empty text beside other parts, as assistant messages with tool calls have it, is left out.
        """
        return "\n".join(
            f"{message.role}: {_shown(part)}"
            for message in self._messages
            for part in message.content
            if len(message.content) == 1 or not isinstance(part, TextPart) or part.text
        )


def _are_several(value: Any) -> bool:
    """Whether ``value`` is an iterable of parts, and neither a single one nor text or bytes."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, Mapping, WireModel))


def _shown(part: Any) -> str:
    """A part of a message as readable text."""
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, ToolCallRequestPart):
        call = part.tool_call_request
        return f"calls {call.name}({json.dumps(call.arguments or {}, ensure_ascii=False)})"
    if isinstance(part, ToolCallResultPart):
        return f"{part.name} returned {part.content}" if part.name else part.content
    return f"[{getattr(part, 'file_type', 'file')} {getattr(part, 'name', '') or ''}]".replace(" ]", "]")


def _request(call: Any) -> Any:
    """The tool call of a part, or ``call`` itself."""
    if isinstance(call, ToolCallRequestPart):
        return call.tool_call_request
    if isinstance(call, Mapping) and call.get("type") == "toolCallRequest":
        return call.get("toolCallRequest", call.get("tool_call_request"))
    return call


def _entry_part(part: Any) -> Any:
    """A part for ``_part``; a bare tool call becomes one."""
    if isinstance(part, ToolCallRequest):
        return ToolCallRequestPart(tool_call_request=part)
    if isinstance(part, Mapping) and part.get("type") == "function":
        return {"type": "toolCallRequest", "toolCallRequest": part}
    return part


def as_history(history: Any) -> dict[str, Any]:
    """Any accepted form as LM Studio's JSON history, its keys in LM Studio's order.

    A ``PreparedHistory`` is neither checked nor copied. ``ImagePart`` objects stay where they are.

    Raises:
        LMStudioValueError: The history holds something that LM Studio cannot take.
    """
    if isinstance(history, PreparedHistory):
        return {"messages": history.messages}
    return {"messages": list(_read(history))}


def encode_history(history: Any, default: Callable[[object], str]) -> str:
    """The JSON text of ``as_history(history)``; ``default`` turns each ``ImagePart`` into text.

    Messages that are objects and hold text alone, as nearly all of a ``Chat`` do, are written without a dict for each:
    measured for 4,000 messages, 3 ms in place of 7.

    Raises:
        LMStudioValueError: The history holds something that LM Studio cannot take, or that JSON cannot hold.
    """
    if not isinstance(history, (Chat, ChatHistory)):
        return encode(as_history(history), default)
    messages = history._messages if isinstance(history, Chat) else history.messages
    text = f'{{"messages":[{",".join([_encode_message(message, default) for message in messages])}]}}'
    try:
        text.encode()
    except UnicodeEncodeError:
        return encode(as_history(history), default)  # its error names the message
    return text


def _encode_message(message: Message, default: Callable[[object], str]) -> str:
    parts = []
    for part in message.content:
        if type(part) is not TextPart or type(part.text) is not str:
            return encode(_to_wire(message), default)
        parts.append(f'{{"type":"text","text":{_quoted(part.text)}}}')
    return f'{{"role":"{message.role}","content":[{",".join(parts)}]}}'


def read_history(history: Any) -> ChatHistory:
    """Any accepted form as an independent ``ChatHistory``. Raises the same errors as ``as_history``."""
    return ChatHistory.model_validate(as_history(history))


def _read(history: Any) -> Iterator[dict[str, Any]]:
    if isinstance(history, Chat):
        yield from map(_to_wire, history._messages)
    elif isinstance(history, ChatHistory):
        yield from map(_to_wire, history.messages)
    elif isinstance(history, str):
        yield {"role": "user", "content": [_part(history, "user", "a prompt")]}
    elif isinstance(history, Mapping):
        if set(history) != {"messages"} or not _is_list(history["messages"]):
            raise LMStudioValueError(
                "expected a history {'messages': [{'role': …, 'content': …}]}, "
                f"got a mapping with the keys {sorted(map(str, history))}"
            )
        yield from _read(history["messages"])
    elif _is_list(history):
        for number, message in enumerate(history):
            yield _message(message, f"message {number}")
    else:
        raise LMStudioValueError(
            f"expected a history (str, dict with 'messages', list of messages, or Chat), got {type(history).__name__}"
        )


def _to_wire(message: Message) -> dict[str, Any]:
    """``message.to_wire()``, but with a short way for text, of which most messages consist."""
    content = [
        {"type": "text", "text": part.text} if type(part) is TextPart else part.to_wire() for part in message.content
    ]
    return {"role": message.role, "content": content}


def _is_list(value: Any) -> bool:
    return type(value) is list or (isinstance(value, Sequence) and not isinstance(value, (str, bytes)))


def _message(message: Any, where: str) -> dict[str, Any]:
    if type(message) is not dict and not isinstance(message, Mapping):
        if isinstance(message, (SystemMessage, UserMessage, AssistantMessage, ToolMessage)):
            return _to_wire(message)
        raise LMStudioValueError(f"{where}: expected {{'role': …, 'content': …}}, got {type(message).__name__}")
    role = message.get("role")
    if not isinstance(role, str) or role not in _MESSAGES:
        raise LMStudioValueError(f"{where}: expected one of the roles {', '.join(_MESSAGES)}, got role {role!r}")
    if not message.keys() <= _MESSAGE_KEYS:
        unknown = min(map(str, message.keys() - _MESSAGE_KEYS))
        raise LMStudioValueError(f"{where}: expected the keys 'role' and 'content', got {unknown!r}, too")
    content: Any = message.get("content")
    if isinstance(content, str):
        if role == "tool":
            raise LMStudioValueError(f"{where}: expected toolCallResult parts in a tool message, got text")
        content = [{"type": "text", "text": content}]
    if not _is_list(content):
        raise LMStudioValueError(f"{where}: expected text or a list of parts as content, got content {content!r}")
    return {"role": role, "content": [_part(part, role, where) for part in content]}


def _part(part: Any, role: str, where: str) -> Any:
    """The part in wire form, its keys in LM Studio's order, so that equal parts make equal bytes."""
    if isinstance(part, str):
        part = {"type": "text", "text": part}
    if type(part) is not dict and not isinstance(part, Mapping):
        if isinstance(part, ImagePart):
            _check_role("image", role, where)
            return part
        if isinstance(part, (TextPart, FilePart, ToolCallRequestPart, ToolCallResultPart)):
            return _part(part.to_wire(), role, where)
        raise LMStudioValueError(f"{where}: expected text or {{'type': …}} as a part, got {part!r}")
    return _mapping_part(part, role, where)


def _mapping_part(part: Mapping[str, Any], role: str, where: str) -> Any:
    kind = part.get("type", "")
    known = _PART_KEYS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise LMStudioValueError(f"{where}: expected a part of a type {', '.join(_PART_KEYS)}, got type {kind!r}")
    keys, _ = known
    _check_role(kind, role, where)
    if not part.keys() <= keys:
        unknown = min(map(str, part.keys() - keys))
        raise LMStudioValueError(f"{where}: a part of type {kind!r} has no key {unknown!r}")
    if kind == "image":
        return image_part(dict(part), where).to_wire()
    if (plain := _plain_part(part, kind)) is not None:
        return plain
    given = dict(part)  # optional values may be None: they leave no key on the wire
    for key in ("toolCallRequest", "tool_call_request"):
        if key in given:
            given[key] = _tool_call(given[key], f"{where}: ")
    try:
        made: WireModel = _PARTS[kind].model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or kind
        raise LMStudioValueError(
            f"{where}: {at} of a part of type {kind!r}: {first['msg']}, got {first['input']!r}"
        ) from None
    return made.to_wire()


def _check_role(kind: str, role: str, where: str) -> None:
    roles = _PART_KEYS[kind][1]
    if role not in roles:
        raise LMStudioValueError(
            f"{where}: a {role} message cannot hold a part of type {kind!r} (only {', '.join(roles)} can)"
        )


def _plain_part(part: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """The wire form of a part whose values all have their exact types; ``None`` leaves it to the models.

    Nearly all parts are like that, and a model for each would cost most of a request.
    """
    if kind == "text":
        text = part.get("text")
        return {"type": "text", "text": text} if type(text) is str else None
    if kind == "toolCallResult" and "tool_call_id" not in part:
        content, call_id, name = part.get("content"), part.get("toolCallId"), part.get("name")
        if type(content) is str and type(call_id) is str and (name is None or type(name) is str):
            plain = {"type": kind, "content": content, "toolCallId": call_id}
            return plain if name is None else {**plain, "name": name}
    if kind == "toolCallRequest" and type(request := part.get("toolCallRequest")) is dict:
        call_id, name, arguments = request.get("id"), request.get("name"), request.get("arguments")
        if (
            request.keys() <= _CALL_KEYS
            and request.get("type", "function") == "function"
            and type(call_id) is type(name) is str
            and type(arguments) is dict
            and all(type(key) is str for key in arguments)
        ):
            plain_request = {"id": call_id, "type": "function", "name": name, "arguments": to_jsonable(arguments)}
            return {"type": kind, "toolCallRequest": plain_request}
    return None


_PARTS: dict[str, Any] = {
    "text": TextPart,
    "file": FilePart,
    "toolCallRequest": ToolCallRequestPart,
    "toolCallResult": ToolCallResultPart,
}


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise LMStudioValueError(f"expected text as {what}, got {type(value).__name__}")
    return value


def _tool_call(call: Any, where: str = "") -> ToolCallRequest:
    if isinstance(call, ToolCallRequest):
        return call
    try:
        unknown = set(call) - _CALL_KEYS
        if not unknown:
            return ToolCallRequest.model_validate(dict(call))
        reason = f"a tool call has no key {min(map(str, unknown))!r}"
    except (ValidationError, TypeError, ValueError):
        reason = "a value has the wrong type"
    raise LMStudioValueError(
        f"{where}expected a tool call {{'name': …, 'arguments': {{…}}, 'id': …}}, got {call!r}: {reason}"
    )
