"""The frames around every call, channel and warning, and their JSON text (PROTOCOL: "Envelope").

One JSON document per WebSocket frame. Ids are integers that the client chooses; a frame that is no valid envelope is
dropped by LM Studio without an answer, so everything outgoing is checked here first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator
from pydantic_core import from_json

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol._model import Incoming, WireInt, WireModel

__all__ = [
    "WARNING_KINDS",
    "ChannelAck",
    "ChannelClose",
    "ChannelCreate",
    "ChannelError",
    "ChannelSend",
    "ClientMessage",
    "CommunicationWarning",
    "KeepAlive",
    "KeepAliveAck",
    "RpcCall",
    "RpcError",
    "RpcResult",
    "SerializedError",
    "ServerMessage",
    "SignalSubscribe",
    "SignalUnsubscribe",
    "WritableSignalSubscribe",
    "WritableSignalUnsubscribe",
    "WritableSignalUpdate",
    "decode",
    "encode",
    "parse_client_message",
    "parse_server_message",
]

WARNING_KINDS: frozenset[str] = frozenset(
    (
        "unknown",
        "channelUnknown",
        "channelMessageTypeError",
        "channelCreationParameterTypeError",
        "channelEndpointUnknown",
        "channelEndpointUnhandled",
        "channelAlreadyOpen",
        "rpcUnknown",
        "rpcParameterTypeError",
        "rpcResultTypeError",
        "rpcEndpointUnknown",
        "rpcEndpointUnhandled",
        "signalUnknown",
        "signalUpdatePatchApplyError",
        "signalPatchTypeError",
        "signalEndpointUnknown",
        "signalEndpointUnhandled",
        "signalAlreadyOpen",
        "signalCreationParameterTypeError",
        "writableSignalUnknown",
        "writableSignalPatchApplyError",
        "writableSignalPatchTypeError",
        "writableSignalDataTypeError",
        "writableSignalEndpointUnknown",
        "writableSignalEndpointUnhandled",
        "writableSignalAlreadyOpen",
        "writableSignalCreationParameterTypeError",
    )
)
"""Every ``kind`` of a ``communicationWarning`` (the key itself is newer than October 2025)."""


class SerializedError(WireModel):
    """An error as LM Studio writes it. Members of the wrong type are dropped; nothing in here is ever fatal.

    ``display_data["code"]`` is one of the ``generic.…`` codes; ``stack`` holds paths of the server's machine.
    """

    title: str = "Unknown error"
    cause: str | None = None
    suggestion: str | None = None
    error_data: dict[str, Any] | None = None
    display_data: dict[str, Any] | None = None
    stack: str | None = None
    root_title: str | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _drop_odd_members(cls, value: Any, info: Any) -> Any:
        wanted: type = dict if info.field_name in ("error_data", "display_data") else str
        if isinstance(value, wanted):
            return value
        return cls.model_fields[info.field_name].default

    @classmethod
    def from_any(cls, raw: Any) -> SerializedError:
        """Read whatever came as an error; what is no object becomes an unknown error."""
        return cls.model_validate(raw if isinstance(raw, Mapping) else {})


class RpcCall(WireModel):
    """Client: one call. ``parameter`` must be absent for endpoints without a parameter; ``null`` is refused there."""

    type: Literal["rpcCall"] = "rpcCall"
    endpoint: str
    call_id: WireInt
    parameter: Any = None

    @property
    def has_parameter(self) -> bool:
        """Whether the key was there at all, be it ``null``."""
        return "parameter" in self.model_fields_set


class ChannelCreate(WireModel):
    """Client: open a channel under an id that no open channel of this socket has."""

    type: Literal["channelCreate"] = "channelCreate"
    endpoint: str
    channel_id: WireInt
    creation_parameter: Any = None

    @property
    def has_creation_parameter(self) -> bool:
        """Whether the key was there at all, be it ``null``."""
        return "creation_parameter" in self.model_fields_set


class ChannelSend(WireModel):
    """Either side: one packet of an open channel. Nobody's library answers ``ackId``, so never wait for one."""

    type: Literal["channelSend"] = "channelSend"
    channel_id: WireInt
    message: Any = None
    ack_id: WireInt | None = None


class ChannelAck(WireModel):
    """Either side, on paper; no known library sends it."""

    type: Literal["channelAck"] = "channelAck"
    channel_id: WireInt
    ack_id: WireInt


class KeepAlive(WireModel):
    """Client: asks for a ``keepAliveAck`` and nothing else."""

    type: Literal["keepAlive"] = "keepAlive"


class CommunicationWarning(WireModel):
    """Either side: something was not understood. It bears no id; ``kind`` is missing from older servers."""

    type: Literal["communicationWarning"] = "communicationWarning"
    warning: str
    kind: str | None = None


class SignalSubscribe(WireModel):
    """Client: follow a signal. Read only so that a server can say that it has none."""

    type: Literal["signalSubscribe"] = "signalSubscribe"
    endpoint: str
    subscribe_id: WireInt
    creation_parameter: Any = None


class SignalUnsubscribe(WireModel):
    """Client: stop following a signal."""

    type: Literal["signalUnsubscribe"] = "signalUnsubscribe"
    subscribe_id: WireInt


class WritableSignalSubscribe(WireModel):
    """Client: follow a writable signal."""

    type: Literal["writableSignalSubscribe"] = "writableSignalSubscribe"
    endpoint: str
    subscribe_id: WireInt
    creation_parameter: Any = None


class WritableSignalUnsubscribe(WireModel):
    """Client: stop following a writable signal."""

    type: Literal["writableSignalUnsubscribe"] = "writableSignalUnsubscribe"
    subscribe_id: WireInt


class WritableSignalUpdate(WireModel):
    """Client: change a writable signal."""

    type: Literal["writableSignalUpdate"] = "writableSignalUpdate"
    subscribe_id: WireInt
    patches: list[Any]
    tags: list[str]


class RpcResult(Incoming):
    """Server: the answer to a call. A void answer, and "not found", have no ``result`` key."""

    type: Literal["rpcResult"] = "rpcResult"
    call_id: WireInt
    result: Any = None

    @property
    def has_result(self) -> bool:
        """Whether there is an answer at all, be it ``null``."""
        return "result" in self.model_fields_set


class RpcError(Incoming):
    """Server: the call failed."""

    type: Literal["rpcError"] = "rpcError"
    call_id: WireInt
    error: SerializedError = SerializedError.model_construct()


class ChannelClose(Incoming):
    """Server: the channel has ended well, if its final packet came before."""

    type: Literal["channelClose"] = "channelClose"
    channel_id: WireInt


class ChannelError(Incoming):
    """Server: the channel has ended with an error."""

    type: Literal["channelError"] = "channelError"
    channel_id: WireInt
    error: SerializedError = SerializedError.model_construct()


class KeepAliveAck(Incoming):
    """Server: answer to ``keepAlive``. Never send it unasked: it kills the Python SDK's receive loop."""

    type: Literal["keepAliveAck"] = "keepAliveAck"


ClientMessage = (
    RpcCall
    | ChannelCreate
    | ChannelSend
    | ChannelAck
    | KeepAlive
    | CommunicationWarning
    | SignalSubscribe
    | SignalUnsubscribe
    | WritableSignalSubscribe
    | WritableSignalUnsubscribe
    | WritableSignalUpdate
)
ServerMessage = (
    RpcResult | RpcError | ChannelSend | ChannelAck | ChannelClose | ChannelError | KeepAliveAck | CommunicationWarning
)

_CLIENT: dict[str, type[ClientMessage]] = {
    "rpcCall": RpcCall,
    "channelCreate": ChannelCreate,
    "channelSend": ChannelSend,
    "channelAck": ChannelAck,
    "keepAlive": KeepAlive,
    "communicationWarning": CommunicationWarning,
    "signalSubscribe": SignalSubscribe,
    "signalUnsubscribe": SignalUnsubscribe,
    "writableSignalSubscribe": WritableSignalSubscribe,
    "writableSignalUnsubscribe": WritableSignalUnsubscribe,
    "writableSignalUpdate": WritableSignalUpdate,
}
_SERVER: dict[str, type[ServerMessage]] = {
    "rpcResult": RpcResult,
    "rpcError": RpcError,
    "channelSend": ChannelSend,
    "channelAck": ChannelAck,
    "channelClose": ChannelClose,
    "channelError": ChannelError,
    "keepAliveAck": KeepAliveAck,
    "communicationWarning": CommunicationWarning,
}


def parse_client_message(raw: Any) -> ClientMessage:
    """The envelope that a client sent.

    Raises:
        ValueError: no valid envelope. LM Studio then says nothing at all.
    """
    kind = _CLIENT.get(raw.get("type", "")) if isinstance(raw, Mapping) and isinstance(raw.get("type"), str) else None
    if kind is None:
        raise ValueError("no message type that a client may send")
    return kind.model_validate(raw, by_alias=True, by_name=False)


def parse_server_message(raw: Any) -> ServerMessage:
    """The envelope that a server sent.

    Raises:
        ValueError: unknown type or no usable id.
    """
    kind = _SERVER.get(raw.get("type", "")) if isinstance(raw, Mapping) and isinstance(raw.get("type"), str) else None
    if kind is None:
        raise ValueError("no message type that a server may send")
    return kind.model_validate(raw, by_alias=True, by_name=False)


_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode(message: object) -> str:
    """Compact JSON, keys in the order given: the same message always makes the same text.

    Raises:
        LMStudioValueError: NaN, an infinity, a lone surrogate or something that JSON cannot hold; names its path.
    """
    plain = message.to_wire() if isinstance(message, WireModel) else message
    try:
        text = _COMPACT(plain)
        text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise LMStudioValueError(_complaint(plain) or f"This cannot be written as JSON: {error}") from None
    return text


def decode(frame: str | bytes) -> Any:
    """The JSON document of a frame.

    Raises:
        ValueError: it is none.
    """
    try:
        return from_json(frame, allow_inf_nan=False)
    except ValueError:
        # JavaScript may cut a pair of surrogates in two and escape the halves, which the fast parser refuses.
        return _slow_decode(frame)


def _slow_decode(frame: str | bytes) -> Any:
    try:
        return json.loads(frame, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _complaint(value: Any, path: str = "$", parents: tuple[int, ...] = ()) -> str | None:
    """Where in ``value`` the first thing is that JSON cannot hold, and what it is."""
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, float):
        return None if value - value == 0 else f"{path}: {value!r} is not a number that JSON knows"
    if isinstance(value, str):
        return _surrogate(value, path)
    if id(value) in parents:
        return f"{path}: contains itself"
    parents = (*parents, id(value))
    if len(parents) > 200:
        return f"{path}: nested too deeply"
    if isinstance(value, dict):
        found = [_complaint_of_entry(key, item, path, parents) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        found = [_complaint(item, f"{path}[{index}]", parents) for index, item in enumerate(value)]
    else:
        return f"{path}: {type(value).__name__} is not JSON"
    return next(filter(None, found), None)


def _complaint_of_entry(key: Any, item: Any, path: str, parents: tuple[int, ...]) -> str | None:
    if isinstance(key, str):
        return _surrogate(key, f"{path} (key)") or _complaint(item, f"{path}.{key}", parents)
    if key is None or isinstance(key, int | float):  # the encoder makes text of these
        return _complaint(item, f"{path}.{key}", parents)
    return f"{path}: a key of type {type(key).__name__} is not JSON"


def _surrogate(text: str, path: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"{path}: the text has half a character (a lone surrogate) at position {error.start}"
    return None
