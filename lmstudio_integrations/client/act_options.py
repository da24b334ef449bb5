"""What ``act`` takes, and what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from lmstudio_integrations.client.callbacks import check_callback
from lmstudio_integrations.client.chat import Chat
from lmstudio_integrations.client.result import PredictionResult, Usage
from lmstudio_integrations.errors import LMStudioToolCallError, LMStudioValueError
from lmstudio_integrations.protocol.history import (
    AssistantMessage,
    ToolCallRequest,
)

if TYPE_CHECKING:
    from lmstudio_integrations.client.cancellation import CancelToken
    from lmstudio_integrations.client.events import Fragment, ToolCallFailed
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.protocol.config import LlmPredictionConfig
    from lmstudio_integrations.protocol.config_dicts import LlmPredictionConfigDict
    from lmstudio_integrations.protocol.history import ToolMessage, UserMessage

__all__ = [
    "ActOptions",
    "ActResult",
    "ActSettings",
    "InvalidToolRequestHandler",
    "PredictionRoundResult",
    "ToolCallGuard",
]

InvalidToolRequestHandler: TypeAlias = (
    "Callable[[LMStudioToolCallError, ToolCallRequest | None], str | Awaitable[str | None] | None]"
)
"""``handle_invalid_tool_request(error, request)``; in async code it may be a coroutine function.

It returns the text for the model, or ``None`` for the error's own text, or raises: that ends ``act``. A ``request`` of
``None`` means that ``act`` ends with ``error`` in any case.
"""


ToolCallGuard: TypeAlias = (
    "Callable[[ToolCallRequest, int], bool | str | Mapping[str, Any] | Awaitable[bool | str | Mapping[str, Any]]]"
)
"""``guard_tool_call(call, round_index)``; in async code it may be a coroutine function.

``True`` allows the call. ``False`` denies it, and so does a text, which is the reason that the model gets. A mapping
allows the call with these arguments instead, and the conversation has them, too. An exception ends ``act``.
"""


class ActOptions(TypedDict, total=False):
    """What ``act`` takes besides the chat and the tools. Callbacks of async code may be coroutine functions.

    Rounds and tools:

    * ``max_prediction_rounds``: the most predictions; the last one must answer without tools. ``None``: no limit.
    * ``max_parallel_tool_calls``: how many tools of one round run at once (default 1). ``None``: by the number of
      processors.
    * ``parallel_tool_calls``: ``False`` keeps the first tool call of each round.
    * ``tool_choice``: for the first round, as in ``respond``: ``"required"``, or the name of a tool, which must be
      called. The model decides in later rounds.
    * ``guard_tool_call(call, round_index)``: decides on each call before its tool runs, see ``ToolCallGuard``.
    * ``handle_invalid_tool_request(error, call)``: gets an ``LMStudioToolCallError`` and the call: for a tool that does
      not exist or raised an exception, or arguments that do not fit. It returns the text for the model or ``None`` (the
      error's own text); an exception that it raises ends ``act``. Without it, the model gets the error.

    Predictions:

    * ``config``: settings of every prediction, as in ``respond``. ``preset``: the name of a preset.
    * ``draft_model``: key of the model for speculative decoding.
    * ``check_context``: count the tokens of each prompt first.
    * ``fetch_images``: whether this process may fetch images that the chat names by an http(s) address.
    * ``timeout``: seconds or a ``Timeout``; ``total`` bounds all rounds and tools together.
    * ``max_retries``: how often each round's request may be sent again.
    * ``cancel``: a ``CancelToken``. A prediction under way ends, and ``act`` with it; a tool under way is abandoned.

    Callbacks:

    * ``on_round_start(round_index)``, ``on_round_end(round_index)``: before a round's prediction, after its tools.
    * ``on_message(message)``: each ``AssistantMessage``, and a ``ToolMessage`` with the results of each round; images
      of tools follow in a ``UserMessage``. ``on_message=chat.append`` adds them to a chat.
    * ``on_prediction_completed(result)``: the round's ``PredictionRoundResult``, before its tools run.
    * ``on_first_token(round_index)``: before the round's first fragment or tool call.
    * ``on_prediction_fragment(fragment, round_index)``.
    * ``on_prompt_processing_progress(progress, round_index)``: 0.0 to 1.0.
    * ``on_load_progress(progress)``: 0.0 to 1.0 while the model is loaded.
    * ``on_queue_progress(queued, round_index)``: how many requests wait at the server while the round's request does.
    * ``on_tool_call_start(index, id, round_index)``, ``on_tool_call_name(index, name, round_index)``,
      ``on_tool_call_arguments(index, text, round_index)``, ``on_tool_call_end(index, call, round_index)``,
      ``on_tool_call_failed(index, failure, round_index)``: while the model writes a call, as in ``respond``.
    * ``on_tool_start(call, round_index)``: right before a tool runs, after the guard; with a limit on how many run at
      once, when its turn has come.
    * ``on_tool_result(call, text, round_index)``: what the model gets for a call, once the round's tools have ended: a
      result, a denial or an error.
    """

    max_prediction_rounds: int | None
    max_parallel_tool_calls: int | None
    config: LlmPredictionConfig | LlmPredictionConfigDict | None
    preset: str | None
    on_message: Callable[[AssistantMessage | ToolMessage | UserMessage], object] | None
    on_first_token: Callable[[int], object] | None
    on_prediction_fragment: Callable[[Fragment, int], object] | None
    on_round_start: Callable[[int], object] | None
    on_round_end: Callable[[int], object] | None
    on_prediction_completed: Callable[[PredictionRoundResult], object] | None
    on_prompt_processing_progress: Callable[[float, int], object] | None
    on_load_progress: Callable[[float], object] | None
    on_queue_progress: Callable[[int, int], object] | None
    on_tool_call_start: Callable[[int, str, int], object] | None
    on_tool_call_name: Callable[[int, str, int], object] | None
    on_tool_call_arguments: Callable[[int, str, int], object] | None
    on_tool_call_end: Callable[[int, ToolCallRequest, int], object] | None
    on_tool_call_failed: Callable[[int, ToolCallFailed, int], object] | None
    on_tool_start: Callable[[ToolCallRequest, int], object] | None
    on_tool_result: Callable[[ToolCallRequest, str, int], object] | None
    guard_tool_call: ToolCallGuard | None
    handle_invalid_tool_request: InvalidToolRequestHandler | None
    draft_model: str | None
    tool_choice: str | None
    parallel_tool_calls: bool | None
    check_context: bool
    fetch_images: bool
    timeout: float | Timeout | Mapping[str, float | None] | None
    max_retries: int | None
    cancel: CancelToken | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRoundResult(PredictionResult):
    """The result of one round of ``act``: a ``PredictionResult`` with its number, ``round_index`` (0, 1, …).

    Example:
        ```python
        from lmstudio_integrations import Client

        def add(a: int, b: int) -> int:
            '''Add two numbers.'''
            return a + b

        model = Client().llm.just_in_time("qwen/qwen3-4b")
        for result in model.act("What is 17 + 25?", [add]).results:
            print(result.round_index, result.finish_reason)
        #> 0 tool_calls
        #> 1 stop
        ```
    """

    round_index: int = 0

    @classmethod
    def from_result(cls, result: PredictionResult, round_index: int) -> PredictionRoundResult:
        """``result`` with the number of its round."""
        values = {item.name: getattr(result, item.name) for item in fields(PredictionResult)}
        return cls(**values, round_index=round_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActResult:
    """The outcome of ``act``.

    Example:
        ```python
        from lmstudio_integrations import Client

        def add(a: int, b: int) -> int:
            '''Add two numbers.'''
            return a + b

        result = Client().llm.just_in_time("qwen/qwen3-4b").act("What is 17 + 25?", [add])
        print(result)
        #> 17 + 25 is 42.
        print(result.rounds, result.finish_reason, result.usage.completion_tokens, len(result.chat))
        #> 2 stop ... 4
        ```

    Attributes:
        rounds: How many predictions there were.
        total_time_seconds: From the call to its end, tools included.
        results: The result of each round.
        chat: The conversation with everything that the rounds added to it.
        tool_output: The text of the tools that ended ``act`` (LangChain's and LlamaIndex's ``return_direct``), else
            ``None``.
        content: The last answer, or ``tool_output``; ``print(result)`` prints it.
    """

    rounds: int
    total_time_seconds: float
    results: tuple[PredictionRoundResult, ...] = field(default=(), repr=False)
    chat: Chat = field(default_factory=Chat, repr=False, compare=False)
    tool_output: str | None = field(default=None, repr=False)

    @property
    def content(self) -> str:
        """The text of the last round, or ``tool_output``."""
        if self.tool_output is not None:
            return self.tool_output
        return self.results[-1].content if self.results else ""

    @property
    def finish_reason(self) -> str:
        """Why the last round ended, as ``PredictionResult.finish_reason`` says it."""
        return self.results[-1].finish_reason if self.results else "stop"

    @property
    def usage(self) -> Usage:
        """The token counts of all rounds together; a count that a round lacks is left out."""
        rounds = [result.usage for result in self.results]
        counts = {
            item.name: [value for usage in rounds if (value := getattr(usage, item.name)) is not None]
            for item in fields(Usage)
        }
        return Usage(**{name: sum(values) if values else None for name, values in counts.items()})

    def __str__(self) -> str:
        return self.content


@dataclass(kw_only=True)
class ActSettings:
    """What ``act`` was called with, callbacks included. ``prediction`` is passed on to each round."""

    max_prediction_rounds: int | None = None
    max_parallel_tool_calls: int | None = 1
    on_message: Callable[..., Any] | None = None
    on_first_token: Callable[..., Any] | None = None
    on_prediction_fragment: Callable[..., Any] | None = None
    on_round_start: Callable[..., Any] | None = None
    on_round_end: Callable[..., Any] | None = None
    on_prediction_completed: Callable[..., Any] | None = None
    on_prompt_processing_progress: Callable[..., Any] | None = None
    on_load_progress: Callable[..., Any] | None = None
    on_queue_progress: Callable[..., Any] | None = None
    on_tool_call_start: Callable[..., Any] | None = None
    on_tool_call_name: Callable[..., Any] | None = None
    on_tool_call_arguments: Callable[..., Any] | None = None
    on_tool_call_end: Callable[..., Any] | None = None
    on_tool_call_failed: Callable[..., Any] | None = None
    on_tool_start: Callable[..., Any] | None = None
    on_tool_result: Callable[..., Any] | None = None
    guard_tool_call: ToolCallGuard | None = None
    handle_invalid_tool_request: InvalidToolRequestHandler | None = None
    tool_choice: str | None = None
    cancel: CancelToken | None = None
    timeout: Timeout
    prediction: Mapping[str, Any]

    def check(self, *, blocking: bool) -> None:
        """Raise ``LMStudioValueError`` for a limit below 1 and for a callback that cannot be called."""
        for name in ("max_prediction_rounds", "max_parallel_tool_calls"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise LMStudioValueError(f"{name}={value!r}: expected an integer of at least 1, or None")
        if self.tool_choice == "none":
            raise LMStudioValueError("tool_choice='none': act() is for tools, respond() answers without them")
        for item in fields(self):
            if item.name.startswith(("on_", "handle_", "guard_")):
                check_callback(item.name, getattr(self, item.name), blocking=blocking)
