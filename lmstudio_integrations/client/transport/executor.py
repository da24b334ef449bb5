"""What happens on the engine's loop for one request: connect, load the model if need be, ask, watch the clock.

Each flow exists once, for both fronts. Two things are mended unseen, once each, and only while the server has not
begun to answer: a lost socket (the request goes out on a new one) and a model that is not loaded (it is loaded).
A socket that another client closed in the same moment does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lmstudio_integrations.client.transport.batch_rpc import BatchRpc
from lmstudio_integrations.client.transport.loading import ensure_loaded, load_model
from lmstudio_integrations.client.transport.multiplexer import CLOSED
from lmstudio_integrations.client.transport.pending_request import Deliver, call_rpc, discard, run_channel
from lmstudio_integrations.client.transport.stream_controller import StreamController
from lmstudio_integrations.errors import (
    LMStudioCancelledError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
)

if TYPE_CHECKING:
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.client.transport.connection import Connection
    from lmstudio_integrations.client.transport.pool import ConnectionPool

__all__ = ["ModelReference", "StreamController", "call", "embed", "load", "predict"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model by identifier (``None``: any that is loaded) and how to load it (``getOrLoad``'s creation parameter)."""

    namespace: str
    identifier: str | None
    load: Mapping[str, Any] | None = None


async def _with_model(
    pool: ConnectionPool,
    model: ModelReference,
    limits: Timeout,
    attempt: Callable[[Connection], Awaitable[T]],
    deliver: Deliver = discard,
) -> T:
    """Run ``attempt`` on a live socket with the model loaded."""
    reconnected = reloaded = False
    while True:
        connection = await pool.connection(model.namespace, limits.connect)
        try:
            if (
                model.load is not None
                and model.identifier is not None
                and model.identifier not in connection.loaded_models
            ):
                reloaded = True
                await ensure_loaded(connection, model.identifier, model.load, limits, deliver)
            return await attempt(connection)
        except LMStudioDisconnectedError as error:
            if error.response_started or (reconnected and not connection.closed_here):
                raise
            reconnected, reloaded = True, False
        except (LMStudioModelNotFoundError, LMStudioModelUnloadedError) as error:
            if model.identifier is not None:
                connection.loaded_models.discard(model.identifier)
            if reloaded or error.response_started or model.load is None:
                raise


# The flows that the fronts submit.


async def call(
    pool: ConnectionPool,
    model: ModelReference,
    endpoint: str,
    parameter: Mapping[str, Any] | None,
    read: Callable[[Any], T],
    limits: Timeout,
) -> T:
    """An RPC and what ``read`` makes of its result. A model without ``load`` is not loaded for it."""

    async def attempt(connection: Connection) -> T:
        return read(await call_rpc(connection, endpoint, parameter, limits))

    return await _with_model(pool, model, limits, attempt)


async def load(
    pool: ConnectionPool,
    namespace: str,
    endpoint: str,
    creation: Mapping[str, Any],
    limits: Timeout,
    control: StreamController,
) -> dict[str, Any]:
    """``getOrLoad`` or ``loadModel``; its progress goes to ``control.deliver``.

    ``loadModel`` is never repeated by itself: it would make a second instance.
    """
    reconnected = endpoint != "getOrLoad"
    while True:
        connection = await pool.connection(namespace, limits.connect)
        try:
            info = await load_model(connection, endpoint, creation, limits, control.tell)
        except LMStudioDisconnectedError as error:
            if error.response_started or (reconnected and not connection.closed_here):
                raise
            reconnected = True
        else:
            connection.loaded_models.add(info["identifier"])
            if endpoint == "getOrLoad":
                connection.loaded_models.add(creation["identifier"])
            return info


async def predict(
    pool: ConnectionPool,
    model: ModelReference,
    endpoint: str,
    creation: str,
    limits: Timeout,
    control: StreamController,
) -> None:
    """A prediction: every packet goes to ``control.deliver``, and at last ``CLOSED`` or an ``LMStudioError``.

    ``creation``: the channel's parameter as JSON text.
    """
    try:
        control.begin()
        await _with_model(
            pool,
            model,
            limits,
            lambda connection: run_channel(connection, endpoint, creation, limits, control.deliver, control),
            control.tell,
        )
        control.deliver(CLOSED)
    except LMStudioError as error:
        control.deliver(error)
    except asyncio.CancelledError:
        control.deliver(LMStudioCancelledError("the prediction was cancelled before LM Studio had begun it"))
    except Exception as error:  # noqa: BLE001  # whatever it is: the consumer waits, and must be told
        unexpected = LMStudioError(f"unexpected: {type(error).__name__}: {error}")
        unexpected.__cause__ = error
        control.deliver(unexpected)


async def embed(
    pool: ConnectionPool, model: ModelReference, parameters: Sequence[Mapping[str, Any]], limits: Timeout
) -> list[Any]:
    """One ``embedString`` for each parameter, some of them at once: the results in the order of the parameters."""

    async def attempt(connection: Connection) -> list[Any]:
        return await BatchRpc(connection, "embedString", parameters, limits).run()

    return await _with_model(pool, model, limits, attempt)
