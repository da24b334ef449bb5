"""The callbacks of a prediction, and which of them an event concerns.

They run where the answer is read: on the thread that iterates or waits for the result, in the task that awaits it.
One that raises ends that prediction (it is cancelled at the server) and its error reaches the caller.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from lmstudio_integrations.client.events import (
    Event,
    Fragment,
    LoadProgress,
    PromptProgress,
    QueueProgress,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallName,
    ToolCallStart,
)
from lmstudio_integrations.client.prediction import download_progress, load_progress
from lmstudio_integrations.errors import LMStudioValueError

if TYPE_CHECKING:
    from lmstudio_integrations.protocol.history import AssistantMessage, ToolCallRequest

__all__ = [
    "CallbackOptions",
    "Callbacks",
    "Calls",
    "check_callback",
    "download_calls",
    "is_coroutine_function",
    "load_calls",
]

Callback = Callable[..., Any]
Calls: TypeAlias = "tuple[tuple[Callback, tuple[Any, ...]], ...]"
"""Callbacks to call, in order, each with its arguments."""


class CallbackOptions(TypedDict, total=False):
    """What ``respond``, ``complete`` and their streams accept; each may be ``None``.

    ``on_progress(progress)``: 0.0 to 1.0 while the prompt is read; ``on_prompt_processing_progress`` is the same under
    the official SDK's name. ``on_first_token()``: once, before the first fragment or tool call is handed out.
    ``on_prediction_fragment(fragment)``. ``on_message(message)``: the complete ``AssistantMessage``, at the end.
    ``on_load_progress(progress)``: 0.0 to 1.0 while the model is loaded. ``on_queue_progress(queued)``: how many
    requests wait at the server, as LM Studio counts them; it is asked for that only if this callback is given.
    ``on_tool_call_start(index, id)``, ``on_tool_call_name(index, name)``, ``on_tool_call_arguments(index, text)``,
    ``on_tool_call_end(index, tool_call)``, ``on_tool_call_failed(index, failure)``.
    """

    on_progress: Callable[[float], object] | None
    on_prompt_processing_progress: Callable[[float], object] | None
    on_first_token: Callable[[], object] | None
    on_prediction_fragment: Callable[[Fragment], object] | None
    on_message: Callable[[AssistantMessage], object] | None
    on_load_progress: Callable[[float], object] | None
    on_queue_progress: Callable[[int], object] | None
    on_tool_call_start: Callable[[int, str], object] | None
    on_tool_call_name: Callable[[int, str], object] | None
    on_tool_call_arguments: Callable[[int, str], object] | None
    on_tool_call_end: Callable[[int, ToolCallRequest], object] | None
    on_tool_call_failed: Callable[[int, ToolCallFailed], object] | None


@dataclass(slots=True)
class Callbacks:
    """The callbacks of one prediction. ``take_calls`` returns those that an event is passed to, with their arguments.

    It has state: ``on_first_token`` and ``on_message`` are returned once, and removed.
    """

    on_progress: Callback | None = None
    on_prompt_processing_progress: Callback | None = None
    on_first_token: Callback | None = None
    on_prediction_fragment: Callback | None = None
    on_message: Callback | None = None
    on_load_progress: Callback | None = None
    on_queue_progress: Callback | None = None
    on_tool_call_start: Callback | None = None
    on_tool_call_name: Callback | None = None
    on_tool_call_arguments: Callback | None = None
    on_tool_call_end: Callback | None = None
    on_tool_call_failed: Callback | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            check_callback(field.name, getattr(self, field.name), blocking=False)
        if self.on_progress is not None and self.on_prompt_processing_progress is not None:
            raise LMStudioValueError(
                "on_progress and on_prompt_processing_progress are one callback under two names: pass one"
            )

    def check_blocking(self) -> None:
        """Raise ``LMStudioValueError`` if one is a coroutine function, which blocking code cannot await."""
        for field in fields(self):
            check_callback(field.name, getattr(self, field.name), blocking=True)

    @property
    def needs_fragments(self) -> bool:
        """Whether fragments must be passed to ``take_calls``.

        A stream reads it once, before its first packet, so that a token costs nothing where no callback wants it.
        """
        return self.on_first_token is not None or self.on_prediction_fragment is not None

    def take_calls(self, event: Event) -> Calls:
        """The callbacks to call for ``event``.

        Removes ``on_first_token`` at the first fragment or tool call.
        """
        if isinstance(event, Fragment):
            first, self.on_first_token = self.on_first_token, None
            return _calls((first, ()), (self.on_prediction_fragment, (event,)))
        if isinstance(event, PromptProgress):
            return _calls((self.on_progress or self.on_prompt_processing_progress, (event.progress,)))
        if isinstance(event, LoadProgress):
            return _calls((self.on_load_progress, (event.progress,)))
        if isinstance(event, QueueProgress):
            return _calls((self.on_queue_progress, (event.queued,)))
        if isinstance(event, ToolCallStart):
            first, self.on_first_token = self.on_first_token, None
            return _calls((first, ()), (self.on_tool_call_start, (event.index, event.id)))
        if isinstance(event, ToolCallName):
            return _calls((self.on_tool_call_name, (event.index, event.name)))
        if isinstance(event, ToolCallArguments):
            return _calls((self.on_tool_call_arguments, (event.index, event.content)))
        if isinstance(event, ToolCallEnd):
            return _calls((self.on_tool_call_end, (event.index, event.tool_call)))
        if isinstance(event, ToolCallFailed):
            return _calls((self.on_tool_call_failed, (event.index, event)))
        return ()

    def take_message_call(self, message: Callable[[], Any]) -> Calls:
        """``on_message`` with the result of ``message()``; empty without the callback, and from the second time on."""
        on_message, self.on_message = self.on_message, None
        return () if on_message is None else ((on_message, (message(),)),)


def load_calls(on_load_progress: Callback | None, *, blocking: bool) -> Callable[[Any], Calls]:
    """For the packets of a load: ``on_load_progress`` with each progress (0.0 to 1.0) that differs from the last."""
    check_callback("on_load_progress", on_load_progress, blocking=blocking)
    last: float | None = None

    def take_calls(packet: Any) -> Calls:
        nonlocal last
        progress = load_progress(packet)
        if progress is None or progress == last:
            return ()
        last = progress
        return _calls((on_load_progress, (progress,)))

    return take_calls


def download_calls(
    on_progress: Callback | None, on_finalize: Callback | None, *, blocking: bool
) -> Callable[[Any], Calls]:
    """For the packets of a download: ``on_progress`` with each report, ``on_finalize`` when all bytes have come."""
    check_callback("on_progress", on_progress, blocking=blocking)
    check_callback("on_finalize", on_finalize, blocking=blocking)

    def take_calls(packet: Any) -> Calls:
        if (update := download_progress(packet)) is not None:
            return _calls((on_progress, (update,)))
        return _calls((on_finalize, ())) if packet.get("type") == "startFinalizing" else ()

    return take_calls


def is_coroutine_function(function: Any) -> bool:
    """Whether calling ``function`` makes a coroutine: a coroutine function, a partial of one, an object with one."""
    if isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def check_callback(name: str, callback: Any, *, blocking: bool) -> None:
    """Raise ``LMStudioValueError`` unless ``callback`` is ``None`` or callable.

    ``blocking``: also if it is a coroutine function. ``name`` names it in the message.
    """
    if callback is None:  # the usual case; `iscoroutinefunction` is slow
        return
    if not callable(callback):
        raise LMStudioValueError(f"{name}={callback!r} cannot be called: pass a function, or None")
    if blocking and is_coroutine_function(callback):
        raise LMStudioValueError(f"{name} is a coroutine function: pass a plain one, or use AsyncClient")


def _calls(*wanted: tuple[Callback | None, tuple[Any, ...]]) -> Calls:
    return tuple((callback, arguments) for callback, arguments in wanted if callback is not None)
