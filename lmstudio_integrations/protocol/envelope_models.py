"""The frames around every call, channel and warning, as models (PROTOCOL: "Envelope").

Ids are integers that the client chooses; a frame that is no valid envelope is dropped by LM Studio without an answer.
These are for the emulator, which accepts and refuses envelopes as LM Studio does. The client does not import them,
because seventeen models take long to import.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from lmstudio_integrations.protocol._model import WireInt, WireModel

__all__ = [
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
    "SignalSubscribe",
    "SignalUnsubscribe",
    "WritableSignalSubscribe",
    "WritableSignalUnsubscribe",
    "WritableSignalUpdate",
    "parse_client_message",
]


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
    """Either side: one packet of an open channel. No known library answers ``ackId``, so never wait for an answer."""

    type: Literal["channelSend"] = "channelSend"
    channel_id: WireInt
    message: Any = None
    ack_id: WireInt | None = None


class ChannelAck(WireModel):
    """Either side, by LM Studio's schema; no known library sends it."""

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
    """Client: follow a signal. Read only so that a server can answer that it has none."""

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


class RpcError(WireModel):
    """Server: the call failed. Results have no model: one may be as large as an embedding, and is not gone through."""

    type: Literal["rpcError"] = "rpcError"
    call_id: WireInt
    error: dict[str, Any]


class ChannelClose(WireModel):
    """Server: the channel has ended, without an error if its final packet came before."""

    type: Literal["channelClose"] = "channelClose"
    channel_id: WireInt


class ChannelError(WireModel):
    """Server: the channel has ended with an error."""

    type: Literal["channelError"] = "channelError"
    channel_id: WireInt
    error: dict[str, Any]


class KeepAliveAck(WireModel):
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

_CLIENT: dict[str, type[ClientMessage]] = {kind.model_fields["type"].default: kind for kind in get_args(ClientMessage)}


def parse_client_message(raw: Any) -> ClientMessage:
    """The envelope that a client sent.

    Raises:
        ValueError: no valid envelope. LM Studio sends no answer to it.
    """
    kind = _CLIENT.get(raw.get("type", "")) if isinstance(raw, Mapping) and isinstance(raw.get("type"), str) else None
    if kind is None:
        raise ValueError("no message type that a client may send")
    return kind.model_validate(raw, by_alias=True, by_name=False)
