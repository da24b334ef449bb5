"""What happens on the engine's loop for one request: connect, load the model if need be, ask, watch the clock.

Each flow exists once, for both fronts. Two things are mended unseen, once each, and only while the server has not
begun to answer: a lost socket (the request goes out on a new one) and a model that is not loaded (it is loaded).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lmstudio_integrations.client.engine import join
from lmstudio_integrations.client.session import CLOSED, Answer, Conversation, Outcome
from lmstudio_integrations.errors import (
    LMStudioCancelledError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioIncompleteError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
    LMStudioTimeoutError,
)

if TYPE_CHECKING:
    from lmstudio_integrations.client.connection import Connection
    from lmstudio_integrations.client.engine import Engine, Link
    from lmstudio_integrations.client.settings import Timeout

__all__ = ["Control", "ModelReference", "call", "embed", "load", "predict"]

T = TypeVar("T")
Deliver = Callable[[dict[str, Any]], object]

# How long (seconds) a cancelled answer may take to end before it is given up.
_AFTER_CANCEL = 10.0
_EMBEDDINGS_AT_ONCE = 64


def _drop(packet: dict[str, Any]) -> None:
    """Nobody listens any more."""


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model by identifier (``None``: any that is loaded) and how to load it (``getOrLoad``'s creation parameter)."""

    namespace: str
    identifier: str | None
    load: Mapping[str, Any] | None = None


class Control:
    """The consumer's hold on a running flow. ``cancel`` may come from any thread, or from a finalizer."""

    __slots__ = ("_engine", "_exchange", "_task", "cancelled", "deliver", "started")

    def __init__(self, engine: Engine, deliver: Callable[[Any], object]) -> None:
        self._engine = engine
        self._task: asyncio.Task[Any] | None = None
        self._exchange: _Exchange | None = None
        self.deliver = deliver
        self.cancelled = False
        self.started = False

    def cancel(self) -> None:
        """Ask the server to stop. What it had produced still arrives, with its statistics."""
        self._engine.post(self._cancel)

    def abandon(self) -> None:
        """Cancel, and throw away what still comes."""
        self._engine.post(self._abandon)

    def _cancel(self) -> None:
        if self.cancelled:
            return
        self.cancelled = True
        if self._exchange is not None:
            self._exchange.cancel()
        elif self._task is not None:
            self._task.cancel()

    def _abandon(self) -> None:
        if self.deliver is not _drop:
            # Somebody may still be waiting, on another thread than the one that gave it up.
            self.deliver(LMStudioCancelledError("the stream was closed before its end"))
        self.deliver = _drop
        if self._exchange is not None:
            self._exchange.conversation.deliver = _drop
        self._cancel()

    def tell(self, packet: dict[str, Any]) -> None:
        """Leave a packet with the consumer, if there still is one."""
        self.deliver(packet)

    def begin(self) -> None:
        """The flow has started. A cancel that came before it ends it here."""
        self._task = asyncio.current_task()
        if self.cancelled:
            raise asyncio.CancelledError

    def hold(self, exchange: _Exchange | None) -> None:
        """What a cancel is to be sent to; ``None`` while there is nothing at the server to cancel."""
        self._exchange = exchange


class _Exchange:
    """One conversation under its time limits, from the frame that opens it to its end."""

    def __init__(self, connection: Connection, endpoint: str, deliver: Deliver, limits: Timeout) -> None:
        self.connection = connection
        self.conversation = Conversation(endpoint, deliver, self._finish)
        self._limits = limits
        self._silence = limits.silence
        self._first = limits.first_answer
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[Outcome] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._started = 0.0

    def _finish(self, outcome: Outcome) -> None:
        if not self._finished.done():
            self._finished.set_result(outcome)

    async def run(self, frame: str) -> Outcome:
        """Send the opening frame and wait for the end. Raises the error if it is one, with ``begun`` set right."""
        self._started = time.monotonic()
        self._arm(self._started)
        try:
            if not self._finished.done():
                await self.connection.send(frame)
            outcome = await self._finished
        except asyncio.CancelledError:
            self._stop()
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
        if isinstance(outcome, LMStudioError):
            outcome.begun = self.conversation.last is not None
            raise outcome
        return outcome

    def cancel(self) -> None:
        """Ask the server to stop; its last packets are awaited, but not for long."""
        frame = self.connection.session.send(self.conversation, {"type": "cancel"})
        if frame is not None:
            self.connection.post(frame)
            self._first = self._silence = _AFTER_CANCEL
            self._started = time.monotonic()
            if self._timer is not None:
                self._timer.cancel()
            self._check()

    def _stop(self) -> None:
        """Nobody waits any longer: tell the server, and forget it."""
        if not self.conversation.finished:
            frame = self.connection.session.send(self.conversation, {"type": "cancel"})
            if frame is not None:
                self.connection.post(frame)
            self.connection.session.give_up(self.conversation)

    def load_silence(self) -> None:
        """From now on a model is being loaded, and that is not silence."""
        self._silence = self._limits.load

    def _due(self) -> tuple[float, str, float] | None:
        """When the next limit runs out, which it is, and its length."""
        due = []
        conversation = self.conversation
        if conversation.answered:
            if self._silence is not None:
                due.append((conversation.heard + self._silence, "silence", self._silence))
        elif self._first is not None:
            due.append((self._started + self._first, "first_answer", self._first))
        if self._limits.total is not None:
            due.append((self._started + self._limits.total, "total", self._limits.total))
        return min(due) if due else None

    def _arm(self, now: float) -> None:
        due = self._due()
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, due[0] - now), self._check)
        elif self._silence is not None:  # nothing to wait for yet, but the first packet will start this limit
            self._timer = self._loop.call_later(self._silence, self._check)

    def _check(self) -> None:
        """Packets do not touch the timer, they only leave their time; so it looks again when it fires."""
        if self._finished.done():
            return
        now = time.monotonic()
        due = self._due()
        if due is None or due[0] > now:
            self._arm(now)
            return
        _, limit, seconds = due
        heard = self._last_heard(now)
        self._stop()
        self._finish(
            LMStudioTimeoutError(
                f"LM Studio's answer to {self.conversation.endpoint!r} broke the time limit {limit!r} "
                f"of {seconds:g} s; "
                f"last heard: {heard}. The request was cancelled. A longer Timeout({limit}=…) would wait on.",
                limit=limit,
                seconds=seconds,
                last_heard=heard,
            )
        )

    def _last_heard(self, now: float) -> str:
        last = self.conversation.last
        if last is None:
            return "nothing"
        words = str(last.get("type", "a packet"))
        if "progress" in last:
            words += f" {last['progress']}"
        return f"{words}, {now - self.conversation.heard:.1f} s ago"


async def _ask(connection: Connection, endpoint: str, parameter: Mapping[str, Any] | None, limits: Timeout) -> Any:
    """One RPC: its result."""
    exchange = _Exchange(connection, endpoint, _drop, limits)
    outcome = await exchange.run(connection.session.call(exchange.conversation, parameter))
    assert isinstance(outcome, Answer)
    return outcome.result


async def _converse(
    connection: Connection,
    endpoint: str,
    creation: Mapping[str, Any],
    limits: Timeout,
    deliver: Deliver,
    control: Control | None = None,
    loading: bool = False,
) -> None:
    """One channel, to its orderly end."""
    if control is not None and control.cancelled:  # between a lost socket and the second try
        raise asyncio.CancelledError
    exchange = _Exchange(connection, endpoint, deliver, limits)
    if loading:
        exchange.load_silence()
    frame = connection.session.open(exchange.conversation, creation)
    if control is not None:
        control.hold(exchange)
    try:
        await exchange.run(frame)
    finally:
        if control is not None:
            control.hold(None)


_LOADED = ("alreadyLoaded", "loadSuccess", "success")


async def _load(
    connection: Connection, endpoint: str, creation: Mapping[str, Any], limits: Timeout, deliver: Deliver
) -> dict[str, Any]:
    """Load a model on a channel of its own: the instance's info as it came."""
    info: dict[str, Any] | None = None

    def listen(packet: dict[str, Any]) -> None:
        nonlocal info
        if packet.get("type") in _LOADED:
            info = packet.get("info")
        deliver(packet)

    await _converse(connection, endpoint, creation, limits, listen, loading=True)
    if info is None:
        raise LMStudioIncompleteError(f"LM Studio ended {endpoint!r} without saying that the model is loaded")
    return info


class _SharedLoad:
    """One ``getOrLoad`` for all who need the same model at once; each hears its progress."""

    def __init__(self, connection: Connection, creation: Mapping[str, Any], limits: Timeout) -> None:
        self._listeners: dict[object, Deliver] = {}
        self._task = asyncio.create_task(_load(connection, "getOrLoad", creation, limits, self._tell))

    def _tell(self, packet: dict[str, Any]) -> None:
        for deliver in list(self._listeners.values()):
            deliver(packet)

    async def wait(self, deliver: Deliver) -> dict[str, Any]:
        key = object()
        self._listeners[key] = deliver
        try:
            return await join(self._task)
        except asyncio.CancelledError:
            if len(self._listeners) == 1:
                self._task.cancel()
            raise
        finally:
            del self._listeners[key]


async def _ensure_loaded(
    connection: Connection, model: ModelReference, limits: Timeout, deliver: Deliver
) -> dict[str, Any]:
    assert model.identifier is not None
    assert model.load is not None
    key = model.identifier
    shared = connection.loading.get(key)
    if shared is None:
        shared = connection.loading[key] = _SharedLoad(connection, model.load, limits)
    try:
        info = await shared.wait(deliver)
    finally:
        if connection.loading.get(key) is shared:
            del connection.loading[key]
    connection.ready.add(key)
    return info


async def _with_model(
    link: Link,
    model: ModelReference,
    limits: Timeout,
    attempt: Callable[[Connection], Awaitable[T]],
    deliver: Deliver = _drop,
) -> T:
    """Run ``attempt`` on a live socket with the model loaded."""
    reconnected = reloaded = False
    while True:
        connection = await link.connection(model.namespace, limits.connect)
        try:
            if model.load is not None and model.identifier is not None and model.identifier not in connection.ready:
                reloaded = True
                await _ensure_loaded(connection, model, limits, deliver)
            return await attempt(connection)
        except LMStudioDisconnectedError as error:
            if reconnected or error.begun:
                raise
            reconnected, reloaded = True, False
        except (LMStudioModelNotFoundError, LMStudioModelUnloadedError) as error:
            if model.identifier is not None:
                connection.ready.discard(model.identifier)
            if reloaded or error.begun or model.load is None:
                raise


# The flows that the fronts submit.


async def call(
    link: Link,
    model: ModelReference,
    endpoint: str,
    parameter: Mapping[str, Any] | None,
    read: Callable[[Any], T],
    limits: Timeout,
) -> T:
    """An RPC and what ``read`` makes of its result. A model without ``load`` is not loaded for it."""

    async def ask(connection: Connection) -> T:
        return read(await _ask(connection, endpoint, parameter, limits))

    return await _with_model(link, model, limits, ask)


async def load(
    link: Link, namespace: str, endpoint: str, creation: Mapping[str, Any], limits: Timeout, control: Control
) -> dict[str, Any]:
    """``getOrLoad`` or ``loadModel``; its progress goes to ``control.deliver``. Never repeated by itself."""
    connection = await link.connection(namespace, limits.connect)
    info = await _load(connection, endpoint, creation, limits, control.tell)
    identifier = info.get("identifier")
    if isinstance(identifier, str):
        connection.ready.add(identifier)
    if endpoint == "getOrLoad":
        connection.ready.add(creation["identifier"])
    return info


async def predict(
    link: Link, model: ModelReference, endpoint: str, creation: Mapping[str, Any], limits: Timeout, control: Control
) -> None:
    """A prediction: every packet goes to ``control.deliver``, and at last ``CLOSED`` or an ``LMStudioError``."""
    try:
        control.begin()
        await _with_model(
            link,
            model,
            limits,
            lambda connection: _converse(connection, endpoint, creation, limits, control.deliver, control),
            control.tell,
        )
        control.deliver(CLOSED)
    except LMStudioError as error:
        control.deliver(error)
    except asyncio.CancelledError:
        control.deliver(LMStudioCancelledError("the prediction was cancelled before LM Studio had begun it"))


async def embed(
    link: Link, model: ModelReference, parameters: Sequence[Mapping[str, Any]], limits: Timeout
) -> list[Any]:
    """One ``embedString`` for each parameter, some of them at once: the results in the order of the parameters."""
    return await _with_model(link, model, limits, lambda connection: _embed_all(connection, parameters, limits))


async def _embed_all(connection: Connection, parameters: Sequence[Mapping[str, Any]], limits: Timeout) -> list[Any]:
    return await _Pipeline(connection, "embedString", parameters, limits).run()


class _Pipeline:
    """Many RPCs of one kind, a bounded number of them unanswered at any time.

    One wake-up serves all the answers that came with one read from the network, and one timer all the requests: the
    first-answer limit runs from the latest answer.
    """

    def __init__(
        self, connection: Connection, endpoint: str, parameters: Sequence[Mapping[str, Any]], limits: Timeout
    ) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._parameters = parameters
        self._limits = limits
        self._results: list[Any] = [None] * len(parameters)
        self._open: dict[int, Conversation] = {}
        self._error: LMStudioError | None = None
        self._woken = asyncio.Event()

    async def run(self) -> list[Any]:
        sent, total = 0, len(self._parameters)
        try:
            while (sent < total or self._open) and self._error is None:
                while sent < total and len(self._open) < _EMBEDDINGS_AT_ONCE:
                    await self._send(sent)
                    sent += 1
                await self._wait()
        finally:
            for conversation in self._open.values():
                self._connection.session.give_up(conversation)
        if self._error is not None:
            raise self._error
        return self._results

    async def _send(self, index: int) -> None:
        conversation = Conversation(self._endpoint, _drop, lambda outcome: self._finish(index, outcome))
        self._open[index] = conversation
        await self._connection.send(self._connection.session.call(conversation, self._parameters[index]))

    def _finish(self, index: int, outcome: Outcome) -> None:
        self._open.pop(index, None)
        if isinstance(outcome, Answer):
            self._results[index] = outcome.result
        elif isinstance(outcome, LMStudioError):
            self._error = self._error or outcome
        self._woken.set()

    async def _wait(self) -> None:
        limit = self._limits.first_answer
        try:
            async with asyncio.timeout(limit):
                await self._woken.wait()
        except TimeoutError:
            self._error = LMStudioTimeoutError(
                f"LM Studio's answer to {self._endpoint!r} broke the time limit 'first_answer' of {limit:g} s "
                f"with {len(self._open)} of {len(self._parameters)} requests unanswered.",
                limit="first_answer",
                seconds=limit or 0.0,
                last_heard="nothing",
            )
        self._woken.clear()
