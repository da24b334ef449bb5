"""Loading a model, once for all requests that need it at the same time; downloading one. Runs on the I/O thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.transport.pending_request import Deliver, PendingRequest
from lmstudio_integrations.client.transport.single_flight import SingleFlight
from lmstudio_integrations.errors import (
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioIncompleteError,
    server_error,
)
from lmstudio_integrations.protocol.json_text import encode

if TYPE_CHECKING:
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.client.transport.connection import Connection

__all__ = ["download_model", "ensure_loaded", "load_model"]

_LOADED = ("alreadyLoaded", "loadSuccess", "success")


async def load_model(
    connection: Connection,
    endpoint: str,
    creation: Mapping[str, Any],
    limits: Timeout,
    deliver: Deliver,
    on_start: Callable[[PendingRequest], object] = lambda request: None,
) -> str:
    """Load a model on a channel of its own (``getOrLoad`` or ``loadModel``): the identifier of the loaded instance."""
    info: Any = None
    failure: LMStudioError | None = None

    def read(packet: Any) -> None:
        nonlocal info, failure
        if packet.get("type") in _LOADED:
            info = packet.get("info")
        elif packet.get("type") == "error":
            failure = server_error(packet.get("error"))  # older servers; the channel's close follows
        deliver(packet)

    request = PendingRequest(connection, endpoint, limits, deliver=read, loading=True)
    on_start(request)
    try:
        await request.open_channel(encode(creation))
    except LMStudioDisconnectedError as error:
        if endpoint == "getOrLoad":
            error.response_started = False  # whatever had come, it may be sent again: nothing is done twice
        raise
    if failure is not None:
        raise failure
    if not isinstance(info, dict) or not isinstance(info.get("identifier"), str):
        raise LMStudioIncompleteError(f"LM Studio ended {endpoint!r} without naming the loaded model")
    identifier: str = info["identifier"]
    return identifier


async def download_model(
    connection: Connection,
    creation: Mapping[str, Any],
    limits: Timeout,
    deliver: Deliver,
    on_start: Callable[[PendingRequest], object] = lambda request: None,
) -> str:
    """Download a model on a channel of its own: the identifier under which it can be loaded."""
    identifier: Any = None

    def read(packet: Any) -> None:
        nonlocal identifier
        if packet.get("type") == "success":
            identifier = packet.get("defaultIdentifier")
        deliver(packet)

    request = PendingRequest(connection, "downloadModel", limits, deliver=read, loading=True)
    on_start(request)
    await request.open_channel(encode(creation))
    if not isinstance(identifier, str):
        raise LMStudioIncompleteError("LM Studio ended 'downloadModel' without naming the downloaded model")
    return identifier


class _SharedLoad:
    """One ``getOrLoad``, with its progress for every request that waits for it."""

    def __init__(self, connection: Connection, key: object, creation: Mapping[str, Any], limits: Timeout) -> None:
        self._connection = connection
        self._key = key
        self._listeners: dict[object, Deliver] = {}
        self._load = SingleFlight(load_model(connection, "getOrLoad", creation, limits, self._deliver), self._forget)

    def _deliver(self, packet: dict[str, Any]) -> None:
        for deliver in list(self._listeners.values()):
            deliver(packet)

    def _forget(self) -> None:
        if self._connection.loading.get(self._key) is self:
            del self._connection.loading[self._key]

    async def join(self, deliver: Deliver) -> str:
        """The identifier, once loaded. The load is cancelled when its last waiting request is."""
        listener = object()
        self._listeners[listener] = deliver
        try:
            return await self._load.join()
        finally:
            del self._listeners[listener]


async def ensure_loaded(
    connection: Connection, key: str, creation: Mapping[str, Any], limits: Timeout, deliver: Deliver
) -> str:
    """Load a model before a request, and return its identifier.

    Requests with equal time limits share one ``getOrLoad``. Guess: two of them under way for one model are one load to
    LM Studio, as they must be for two processes.
    """
    shared_by = (key, limits)
    shared = connection.loading.get(shared_by)
    if shared is None:
        shared = connection.loading[shared_by] = _SharedLoad(connection, shared_by, creation, limits)
    identifier: str = await shared.join(deliver)
    connection.loaded_models[key] = connection.loaded_models[identifier] = identifier
    return identifier
