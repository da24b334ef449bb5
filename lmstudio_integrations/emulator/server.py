"""``Emulator``: an imitation of LM Studio's WebSocket server, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from lmstudio_integrations.emulator.argument_checks import (
    Check,
    by_text,
    check_all,
    event,
    flag,
    function,
    instances,
    nonempty_text,
    number,
    optional,
    text,
    texts,
    unexpected,
    vector,
)
from lmstudio_integrations.emulator.argument_checks import condition as condition_check
from lmstudio_integrations.emulator.argument_checks import shares as progress_shares
from lmstudio_integrations.emulator.backends.backend import Backend, FakeBackend
from lmstudio_integrations.emulator.config_schema import Fields
from lmstudio_integrations.emulator.faults import Faults
from lmstudio_integrations.emulator.models import DEFAULT_MODELS, DOWNLOADABLE_MODELS, EmulatedModel
from lmstudio_integrations.emulator.recorded_calls import (
    CallLog,
    RecordedEmbedding,
    RecordedLoad,
    RecordedPrediction,
    setting_fields,
)
from lmstudio_integrations.emulator.replies import Reply
from lmstudio_integrations.emulator.server_state import Embeddings, ReplyFunction, ServerState
from lmstudio_integrations.emulator.threadsafe_event import ThreadsafeEvent
from lmstudio_integrations.emulator.wire.auth import Authenticator
from lmstudio_integrations.emulator.wire.endpoints import CHANNELS, ENDPOINTS
from lmstudio_integrations.emulator.wire.frame_log import FrameLog, RecordedFrame
from lmstudio_integrations.emulator.wire.listener import Listener
from lmstudio_integrations.errors import LMStudioError, LMStudioValueError


class Emulator:
    """LM Studio's server, imitated: a context manager (or ``start()`` and ``stop()``).

    Example: Construct, script and call
        ```python
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Emulator, Reply

        with Emulator() as server, Client(server.url) as client:
            server.script(Reply("Hello there"), Reply("And again"))
            model = client.llm.just_in_time("emulator/chat")
            print(model.respond("Hi"), "|", model.respond("Hi"), "|", model.respond("Hi"))
            #> Hello there | And again | This is the LM Studio emulator, not a language model. You said: Hi
        ```

        Any client of LM Studio can use it, the official SDKs too.

    Example: Answer by a function
        ```python
        def shout(request):
            return Reply(request.last_user_text.upper())  # None: the reply that the emulator would make

        with Emulator(replies=shout) as server, Client(server.url) as client:
            print(client.llm.just_in_time("emulator/chat").respond("Hi"))
            #> HI
        ```

    Example: Recorded requests
        ```python
        with Emulator() as server, Client(server.url) as client:
            result = client.llm.just_in_time("emulator/chat").respond("Hi", config={"temperature": 0.5})
            print(server.predictions[-1].model, server.predictions[-1].settings["temperature"])
            #> emulator/chat 0.5
            print(server.requests[-1].message["type"])  # every frame
            #> channelCreate
        ```

    Example: Faults
        ```python
        with Emulator() as server, Client(server.url) as client:
            server.faults.add("drop", after=2)  # the connection, after two packets of an answer
            try:
                client.llm.just_in_time("emulator/chat").respond("Hi", max_retries=0)
            except ConnectionError as error:
                print(type(error).__name__)
            #> LMStudioDisconnectedError
        ```

    Example: Models, loading and time to live
        ```python
        from lmstudio_integrations.emulator import EmulatedModel

        with Emulator([EmulatedModel("qwen/qwen3-4b")]) as server, Client(server.url) as client:
            model = client.llm.model("qwen/qwen3-4b", ttl=600, config={"contextLength": 8192})
            print(server.loaded, server.loads[-1].settings, server.loads[-1].ttl)
            #> ['qwen/qwen3-4b'] {..., 'context_length': 8192} 600.0
            server.expire("qwen/qwen3-4b")
            print(server.loaded)
            #> []
        ```

    Example: Async
        ```python
        from lmstudio_integrations import AsyncClient

        async with Emulator() as server, AsyncClient(server.url) as client:
            server.script(Reply("Hello there"))
            print(await client.llm.just_in_time("emulator/chat").respond("Hi"))
            #> Hello there
        ```

    Args:
        models: The downloaded models; default: ``emulator/chat`` (loaded), ``emulator/chat-2`` and
            ``emulator/embedding`` (loaded). With ``model_path``: that model alone.
        api_token: ``sk-lm-…``; clients without it are refused.
        replies: Replies to begin with, or a function from a ``PredictionRequest`` to a reply (or ``None``).
        model_path: A GGUF file; answers then come from it, through llama.cpp in a child process.
        threads: Of the real model (default: 2).
        host: Where to listen (default: 127.0.0.1).
        port: Which port to listen on; 0 takes a free one.
        prefix: Of all paths, as behind a reverse proxy: ``"/lm"``. Part of ``url``.
        record: Whether to keep frames in ``requests`` and ``sent``, and the decoded calls.
        record_limit: How many frames of both together, and how many calls of each kind.
        presets: The names of the presets, or a dictionary from names to settings, which are named as in
            ``predictions``: ``{"careful": {"temperature": 0.1, "max_tokens": 100}}``. A request's own settings win.
        evict_just_in_time: Loading a model just in time unloads the one that was loaded so before, also one of the
            other kind, as in LM Studio.
        origins: Web pages that may connect, such as ``"http://localhost:5173"``, or ``"*"``; browsers name theirs, and
            others are refused. Clients outside of browsers name none.
        auth_timeout: Seconds until a client that does not authenticate is refused (default: 10).
        strict: A prediction without a scripted reply is an error, and so is a scripted call of a tool that was not
            offered; leaving the context then raises ``AssertionError`` for these, and for replies and faults that were
            not used. ``"scripted"``: the same, but as long as nothing has been scripted, predictions are answered.
        any_model: A model of any name can be loaded, as if it were downloaded.
        repository: The models that a search finds and that can be downloaded.
        embeddings: The vectors of texts, or a function from a text to its vector; other texts get made-up ones, of the
            same length as the given vectors.

    ``load_hold`` may be set to an event that every load waits for half-way, ``load_progress`` and
    ``load_pace`` (seconds) shape its progress. All methods may be called from any thread.

    Raises:
        LMStudioValueError: An argument has the wrong type or is out of range, two models have the same key, or the
            token is malformed.
    """

    def __init__(
        self,
        models: Sequence[EmulatedModel] | None = None,
        *,
        api_token: str | None = None,
        replies: Sequence[Reply] | ReplyFunction | None = None,
        model_path: str | Path | None = None,
        threads: int = 2,
        host: str = "127.0.0.1",
        port: int = 0,
        prefix: str = "",
        record: bool = True,
        record_limit: int = 200_000,
        presets: Sequence[str] | Mapping[str, Mapping[str, Any]] = ("emulator-preset",),
        evict_just_in_time: bool = True,
        origins: Sequence[str] = (),
        auth_timeout: float = 10.0,
        strict: bool | Literal["scripted"] = False,
        any_model: bool = False,
        embeddings: Embeddings | None = None,
        repository: Sequence[EmulatedModel] = DOWNLOADABLE_MODELS,
    ) -> None:
        given = dict(locals())  # the arguments
        check_all("Emulator", _ARGUMENTS, given)
        backend, catalog = _backend(models, model_path, threads)
        self._state = ServerState(
            catalog,
            backend,
            FrameLog(record_limit, enabled=record),
            Authenticator(api_token),
            Faults(ENDPOINTS, CHANNELS),
            CallLog(record_limit if record else 0),
            presets=_preset_fields(presets),
            auth_timeout=auth_timeout,
            evict_just_in_time=evict_just_in_time,
            origins=tuple(origins),
            reply_function=replies if callable(replies) else None,
            strict=strict,
            any_model=any_model,
            embeddings=embeddings,
            repository=tuple(repository),
        )
        if replies is not None and not callable(replies):
            self._state.add_replies(replies)
        self._wanted_port = port
        self._listener = Listener(self._state, ENDPOINTS, host, port, prefix)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    # --- start and stop

    def start(self) -> Self:
        """Start listening. Returns when clients can connect.

        Raises:
            OSError: the port is taken.
            LMStudioError: the real model does not start.
        """
        if self._thread is not None:
            raise LMStudioError("the emulator is already running: call stop() first")
        ready: threading.Event = threading.Event()
        failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(ready, failed), name="lmstudio-emulator", daemon=True)
        self._thread.start()
        ready.wait()
        if failed:
            self._thread.join()
            self._thread = None
            raise failed[0]
        return self

    def stop(self) -> None:
        """Close all sockets and wait for the thread to end. A second call has no effect."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join()
            self._state.frame_log.wake()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.raise_for_unused()
        finally:
            self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    # --- for tests

    def raise_for_unused(self) -> None:
        """Raise ``AssertionError`` if the emulator is strict, and predictions had no reply or replies had none."""
        if self._state.strict and (found := self._state.unused()):
            raise AssertionError("\n".join(["the strict emulator was not used as scripted:", *found]))

    @property
    def url(self) -> str:
        """The address: ``ws://127.0.0.1:PORT``, with the prefix if there is one."""
        return f"ws://{self._listener.host}:{self._listener.port}{self._listener.prefix}"

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``, as the official SDK's ``Client`` takes it."""
        return f"{self._listener.host}:{self._listener.port}"

    @property
    def port(self) -> int:
        """The port it listens on; before ``start()`` the requested one."""
        return self._listener.port

    @property
    def connections(self) -> int:
        """How many sockets are open."""
        return len(self._listener.connections)

    @property
    def requests(self) -> list[RecordedFrame]:
        """All frames of all clients in order of arrival, with authentication."""
        return self._state.frame_log.frames("client")

    @property
    def sent(self) -> list[RecordedFrame]:
        """All sent frames, with warnings."""
        return self._state.frame_log.frames("server")

    @property
    def predictions(self) -> list[RecordedPrediction]:
        """All requested predictions, decoded: ``server.predictions[-1].settings["temperature"]``."""
        return list(self._state.calls.predictions)

    @property
    def embeddings(self) -> list[RecordedEmbedding]:
        """All texts that were embedded."""
        return list(self._state.calls.embeddings)

    @property
    def loads(self) -> list[RecordedLoad]:
        """All loads, decoded."""
        return list(self._state.calls.loads)

    @property
    def faults(self) -> Faults:
        """``server.faults.add(name, …)``: see ``faults``."""
        return self._state.faults

    def script(self, *replies: Reply, model: str | None = None) -> None:
        """Queue replies for the next predictions, in this order; with ``model`` for those of this key or identifier.

        Raises:
            LMStudioValueError: One of them is no ``Reply``, or there is no such model.
        """
        self._state.add_replies(replies, model)

    @property
    def scripted(self) -> int:
        """The number of queued replies that no prediction has used yet."""
        return len(self._state.script)

    def wait_for(
        self, predicate: Callable[[RecordedFrame], bool], timeout: float = 5.0, *, after: int = 0
    ) -> RecordedFrame:
        """The first client frame that fits (and has an ``order`` beyond ``after``): now, or as soon as it arrives.

        Raises:
            LMStudioValueError: The predicate is no function, ``timeout`` or ``after`` no number, or no frames are
                recorded (``record=False``).
            TimeoutError: none within ``timeout`` seconds.
        """
        check_all("wait_for", _WAIT, {"predicate": predicate, "timeout": timeout, "after": after})
        return self._state.frame_log.wait_for("client", predicate, timeout, after)

    async def wait_for_async(
        self,
        predicate: Callable[[RecordedFrame], bool],
        timeout: float = 5.0,  # noqa: ASYNC109  # as in wait_for
        *,
        after: int = 0,
    ) -> RecordedFrame:
        """``wait_for`` for coroutines."""
        return await asyncio.to_thread(self.wait_for, predicate, timeout, after=after)

    def wait_for_sent(
        self, predicate: Callable[[RecordedFrame], bool], timeout: float = 5.0, *, after: int = 0
    ) -> RecordedFrame:
        """The same for frames that the emulator sends."""
        check_all("wait_for_sent", _WAIT, {"predicate": predicate, "timeout": timeout, "after": after})
        return self._state.frame_log.wait_for("server", predicate, timeout, after)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until ``condition()`` is true: evaluated after each recorded frame and each change of connections.

        Raises:
            LMStudioValueError: The condition is no function, or ``timeout`` no number.
            TimeoutError: It is not true within ``timeout`` seconds.
        """
        check_all("wait_until", _WAIT, {"condition": condition, "timeout": timeout})
        self._state.frame_log.wait_until(condition, timeout)

    def clear_record(self) -> None:
        """Remove the recorded frames and calls."""
        self._state.frame_log.clear()
        self._state.calls.clear()

    @property
    def loaded(self) -> list[str]:
        """The identifiers of the loaded instances."""
        return self._state.models.identifiers()

    def advance(self, seconds: float) -> None:
        """Let time pass for the models: what has been idle for its TTL is unloaded. Nothing waits.

        Raises:
            LMStudioValueError: The seconds are not a number from 0.
        """
        number()("advance(seconds)", seconds)
        self._state.clock.advance(seconds)
        if self._thread is not None:
            self._call(self._state.models.unload_expired)

    def expire(self, identifier: str) -> None:
        """Unload an instance as at the end of its TTL.

        Raises:
            LMStudioValueError: no such instance, or it has no TTL.
        """
        nonempty_text("expire(identifier)", identifier)
        instance = self._state.models.loaded.get(identifier)
        if instance is None or instance.ttl_ms is None:
            raise LMStudioValueError(
                f"expected a loaded instance with a TTL, got {identifier!r}; loaded: {self.loaded}"
            )
        self._call(self._state.models.unload, identifier)

    def unload(self, identifier: str) -> None:
        """Unload an instance, as another client or the user would.

        Raises:
            LMStudioValueError: no such instance.
        """
        nonempty_text("unload(identifier)", identifier)
        if identifier not in self._state.models.loaded:
            raise LMStudioValueError(f"expected a loaded instance, got {identifier!r}; loaded: {self.loaded}")
        self._call(self._state.models.unload, identifier)

    @property
    def load_hold(self) -> ThreadsafeEvent | threading.Event | None:
        """The event that every load waits for half-way."""
        return self._state.load_hold

    @load_hold.setter
    def load_hold(self, hold: ThreadsafeEvent | threading.Event | None) -> None:
        optional(event)("load_hold", hold)
        self._state.load_hold = hold

    @property
    def load_progress(self) -> Sequence[float]:
        """The progress values (0.0 to 1.0) that a load reports."""
        return self._state.load_progress

    @load_progress.setter
    def load_progress(self, shares: Sequence[float]) -> None:
        progress_shares("load_progress", shares)
        self._state.load_progress = tuple(shares)

    @property
    def load_pace(self) -> float:
        """Seconds between two load progress packets."""
        return self._state.load_pace

    @load_pace.setter
    def load_pace(self, seconds: float) -> None:
        number()("load_pace", seconds)
        self._state.load_pace = seconds

    def drop_connections(self) -> None:
        """Cut every WebSocket connection without a close frame."""
        self._call(self._listener.drop)

    def restart(self) -> None:
        """Cut every connection and listen again on the same port, with the models of the start under new references.

        Called by a function of replies or embeddings, it happens when that function has returned.
        """
        loop = self._running_loop()
        if threading.current_thread() is self._thread:
            self._state.restart_soon()
        else:
            asyncio.run_coroutine_threadsafe(self._listener.restart(), loop).result()

    # --- on the emulator's own thread

    def _run(self, ready: threading.Event, failed: list[BaseException]) -> None:
        try:
            asyncio.run(self._main(ready))
        except BaseException as error:  # noqa: BLE001 - start() raises it in the caller's thread
            failed.append(error)
        finally:
            ready.set()

    async def _main(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            await self._state.backend.start()
            await self._listener.open(self._wanted_port)
            ready.set()
            await self._stopping.wait()
        finally:
            await self._listener.close()
            self._state.faults.clear()
            await self._state.backend.stop()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._thread is None:
            raise LMStudioError("the emulator is not running: call start() or use it as a context manager")
        return self._loop

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the emulator's thread and wait for its end."""
        loop = self._running_loop()
        if threading.current_thread() is self._thread:  # called by a function of replies: it cannot wait for itself
            function(*arguments)
            return

        async def call() -> None:
            function(*arguments)

        asyncio.run_coroutine_threadsafe(call(), loop).result()


def _models(place: str, value: Any) -> None:
    instances('EmulatedModel("some/model")', EmulatedModel)(place, value)
    keys = [model.key for model in value]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise LMStudioValueError(f"{place}: two models have the same key: {', '.join(twice)}")


def _replies(place: str, value: Any) -> None:
    if callable(value):
        function("a PredictionRequest")(place, value)
    else:
        instances('Reply("Hello")', Reply)(place, value)


def _presets(place: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        texts(place, value)
        return
    for name, settings in value.items():
        nonempty_text(f"{place}: a name", name)
        if not isinstance(settings, Mapping):
            raise unexpected(f"{place}[{name!r}]", "a dictionary of settings", settings)
        setting_fields(f"{place}[{name!r}]", settings)


def _preset_fields(presets: Sequence[str] | Mapping[str, Mapping[str, Any]]) -> dict[str, Fields]:
    if not isinstance(presets, Mapping):
        return {name: {} for name in presets}
    return {name: setting_fields(f"the preset {name!r}", settings) for name, settings in presets.items()}


def _strict(place: str, value: Any) -> None:
    if value != "scripted":
        flag(place, value)


def _path(place: str, value: Any) -> None:
    if not isinstance(value, str | Path) or not str(value):
        raise unexpected(place, "the path of a GGUF file (str or Path)", value)


def _prefix(place: str, value: Any) -> None:
    text(place, value)
    if value and (not value.startswith("/") or value.endswith("/")):
        raise unexpected(place, 'a path that begins with "/" and does not end with it, such as "/lm"', value)


_ARGUMENTS: dict[str, Check] = {
    "models": optional(_models),
    "api_token": optional(text),
    "replies": optional(_replies),
    "model_path": optional(_path),
    "threads": number(1, whole=True),
    "host": nonempty_text,
    "port": number(0, 65535, whole=True),
    "prefix": _prefix,
    "record": flag,
    "record_limit": number(whole=True),
    "presets": _presets,
    "origins": texts,
    "evict_just_in_time": flag,
    "auth_timeout": number(above=True),
    "strict": _strict,
    "any_model": flag,
    "embeddings": optional(by_text("vectors", vector)),
    "repository": _models,
}
_WAIT: dict[str, Check] = {
    "predicate": function("a RecordedFrame"),
    "condition": condition_check,
    "timeout": number(),
    "after": number(whole=True),
}


def _backend(
    models: Sequence[EmulatedModel] | None, model_path: str | Path | None, threads: int
) -> tuple[Backend, Sequence[EmulatedModel]]:
    if model_path is None:
        return FakeBackend(), DEFAULT_MODELS if models is None else tuple(models)
    from lmstudio_integrations.emulator.backends.llama_cpp import LlamaBackend  # only here: it is the optional half

    backend = LlamaBackend(Path(model_path), threads=threads)
    return backend, backend.models() if models is None else tuple(models)
