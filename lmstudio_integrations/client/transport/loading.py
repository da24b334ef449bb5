"""Loading a model, once for all who need it at the same time. Runs on the engine's loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.transport.pending_request import Deliver, run_channel
from lmstudio_integrations.client.transport.single_flight import SingleFlight
from lmstudio_integrations.errors import LMStudioIncompleteError
from lmstudio_integrations.protocol.envelopes import encode

if TYPE_CHECKING:
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.client.transport.connection import Connection

__all__ = ["ensure_loaded", "load_model"]

_LOADED = ("alreadyLoaded", "loadSuccess", "success")


async def load_model(
    connection: Connection, endpoint: str, creation: Mapping[str, Any], limits: Timeout, deliver: Deliver
) -> dict[str, Any]:
    """Load a model on a channel of its own (``getOrLoad`` or ``loadModel``): the instance's info as it came."""
    info: Any = None

    def listen(packet: Any) -> None:
        nonlocal info
        if isinstance(packet, dict):
            if packet.get("type") in _LOADED:
                info = packet.get("info")
            deliver(packet)

    await run_channel(connection, endpoint, encode(creation), limits, listen, loading=True)
    if not isinstance(info, dict) or not isinstance(info.get("identifier"), str):
        raise LMStudioIncompleteError(f"LM Studio ended {endpoint!r} without saying which model is loaded now")
    return info


class _SharedLoad:
    """One ``getOrLoad``, whose progress each of those who wait for it hears."""

    def __init__(self, connection: Connection, key: object, creation: Mapping[str, Any], limits: Timeout) -> None:
        self._connection = connection
        self._key = key
        self._listeners: dict[object, Deliver] = {}
        self._work = SingleFlight(load_model(connection, "getOrLoad", creation, limits, self._tell), self._over)

    def _tell(self, packet: dict[str, Any]) -> None:
        for deliver in list(self._listeners.values()):
            deliver(packet)

    def _over(self) -> None:
        if self._connection.loading.get(self._key) is self:
            del self._connection.loading[self._key]

    async def wait(self, deliver: Deliver) -> None:
        """Until it is loaded; the load is cancelled when the last who waits is."""
        listener = object()
        self._listeners[listener] = deliver
        try:
            await self._work.join()
        finally:
            del self._listeners[listener]


async def ensure_loaded(
    connection: Connection, identifier: str, creation: Mapping[str, Any], limits: Timeout, deliver: Deliver
) -> None:
    """Have a model loaded before a request. Those with the same time limits share one ``getOrLoad``.

    Guess: two of them under way for one model are one load to LM Studio, as they must be for two processes.
    """
    key = (identifier, limits)
    shared = connection.loading.get(key)
    if shared is None:
        shared = connection.loading[key] = _SharedLoad(connection, key, creation, limits)
    await shared.wait(deliver)
    connection.loaded_models.add(identifier)
