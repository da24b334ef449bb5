"""``act``: predictions and tool calls in turn, until the model answers without a tool.

The rounds are one generator, ``act_steps``: it yields what has to be done (predict, run tools, call a callback) and
gets the outcome. It does no I/O; ``drive`` and ``drive_async`` carry out the steps for the two kinds of client.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from lmstudio_integrations.client.callbacks import check_callback, refuse_coroutine
from lmstudio_integrations.client.chat import Chat, as_history
from lmstudio_integrations.client.history import HistoryBuilder, PreparedHistory
from lmstudio_integrations.client.result import PredictionResult, Usage
from lmstudio_integrations.client.tool_functions import ActTool, ToolInput, ToolOutput, act_tools
from lmstudio_integrations.client.tool_runs import ToolOutcome, ToolRun, run_tools, run_tools_async
from lmstudio_integrations.errors import LMStudioTimeoutError, LMStudioToolCallError, LMStudioValueError
from lmstudio_integrations.protocol.history import (
    AssistantMessage,
    TextPart,
    ToolCallRequest,
    ToolCallRequestPart,
)

if TYPE_CHECKING:
    from lmstudio_integrations.client.cancellation import CancelToken
    from lmstudio_integrations.client.events import ToolCallFailed
    from lmstudio_integrations.client.settings import Timeout

# After that many rounds in sequence without a tool call that LM Studio could parse, a further one ends ``act``.
_MAX_UNPARSABLE_ROUNDS = 2

__all__ = ["ActOptions", "ActResult", "InvalidToolRequestHandler", "PredictionRoundResult", "act_steps"]

InvalidToolRequestHandler: TypeAlias = (
    "Callable[[LMStudioToolCallError, ToolCallRequest | None], str | Awaitable[str | None] | None]"
)
"""``handle_invalid_tool_request(error, request)``; in async code it may be a coroutine function.

It returns the text for the model, or ``None`` for the error's own text, or raises: that ends ``act``. A ``request`` of
``None`` means that ``act`` ends with ``error`` in any case.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRoundResult(PredictionResult):
    """The result of one round of ``act``; ``round_index`` counts from 0."""

    round_index: int = 0

    @classmethod
    def from_result(cls, result: PredictionResult, round_index: int) -> PredictionRoundResult:
        """``result`` with the number of its round."""
        values = {item.name: getattr(result, item.name) for item in fields(PredictionResult)}
        return cls(**values, round_index=round_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActResult:
    """The outcome of ``act``.

    ``rounds``: how many predictions there were. ``total_time_seconds``: from the call to its end, tools included.
    ``results``: the result of each round. ``chat``: the conversation with everything that the rounds added to it.
    ``print(result)`` prints the last answer.
    """

    rounds: int
    total_time_seconds: float
    results: tuple[PredictionRoundResult, ...] = field(default=(), repr=False)
    chat: Chat = field(default_factory=Chat, repr=False, compare=False)

    @property
    def content(self) -> str:
        """The text of the last round."""
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
class ActOptions:
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
    handle_invalid_tool_request: InvalidToolRequestHandler | None = None
    cancel: CancelToken | None = None
    timeout: Timeout
    prediction: Mapping[str, Any]

    def check(self, *, blocking: bool) -> None:
        """Raise ``LMStudioValueError`` for a limit below 1 and for a callback that cannot be called."""
        for name in ("max_prediction_rounds", "max_parallel_tool_calls"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise LMStudioValueError(f"{name}={value!r}: expected an integer of at least 1, or None")
        for item in fields(self):
            if item.name.startswith(("on_", "handle_")):
                callback = getattr(self, item.name)
                check_callback(item.name, callback)
                if blocking:
                    refuse_coroutine(item.name, callback)


@dataclass(frozen=True, slots=True)
class Predict:
    """A prediction is needed; the outcome is its ``PredictionResult``."""

    history: PreparedHistory
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunTools:
    """Tools have to run, ``parallel`` of them at once, within ``seconds``; the outcome is a list of ``ToolOutcome``."""

    runs: Sequence[ToolRun]
    parallel: int
    seconds: float | None
    cancel: CancelToken | None


@dataclass(frozen=True, slots=True)
class CallBack:
    """A callback has to be called; the outcome is what it returns."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


Step: TypeAlias = "Predict | RunTools | CallBack"
Steps: TypeAlias = "Generator[Step, Any, ActResult]"


def act_steps(chat: Any, tools: Iterable[ToolInput], options: ActOptions, *, blocking: bool) -> Steps:
    """The rounds. Everything is checked before the first step.

    Raises:
        LMStudioValueError: The chat, a tool or an option cannot be used.
    """
    options.check(blocking=blocking)
    return _Act(chat, act_tools(tools, blocking=blocking), options).steps()


class _Act:
    """One call of ``act``: its conversation, and the steps of each round."""

    def __init__(self, chat: Any, tools: Mapping[str, ActTool], options: ActOptions) -> None:
        self._given: list[dict[str, Any]] = as_history(chat)["messages"]
        self._chat = Chat.from_history({"messages": self._given})
        self._added: list[Callable[[HistoryBuilder], object]] = []
        self._tools = tools
        self._options = options
        self._results: list[PredictionRoundResult] = []
        self._unparsable = 0
        self._started = time.monotonic()

    def steps(self) -> Steps:
        """Rounds, until one has no tool call or the last one that is allowed has ended."""
        options = self._options
        index = 0
        while True:
            if (on_start := options.on_round_start) is not None:
                yield CallBack(on_start, (index,))
            is_last = index + 1 == options.max_prediction_rounds
            calls = yield from self._round(index, is_last=is_last)
            if (on_end := options.on_round_end) is not None:
                yield CallBack(on_end, (index,))
            if not calls or is_last:
                return ActResult(
                    rounds=index + 1,
                    total_time_seconds=time.monotonic() - self._started,
                    results=tuple(self._results),
                    chat=self._chat,
                )
            index += 1

    def _round(self, index: int, *, is_last: bool) -> Generator[Step, Any, bool]:
        """One prediction and its tool calls. Returns whether there were any."""
        result: PredictionResult = yield from self._predict(index, is_last=is_last)
        made = PredictionRoundResult.from_result(result.raise_for_stop_reason(), index)
        self._results.append(made)
        if (on_completed := self._options.on_prediction_completed) is not None:
            yield CallBack(on_completed, (made,))
        if made.finish_reason == "cancelled" or not (made.tool_calls or made.failed_tool_calls):
            # Calls that nothing answers would be an incomplete conversation.
            yield from self._message(AssistantMessage(content=[TextPart(text=made.content)]))
            return False
        self._unparsable = 0 if made.tool_calls else self._unparsable + 1
        if is_last:
            yield from self._fail("The model called a tool in the last round that max_prediction_rounds allows")
        if self._unparsable > _MAX_UNPARSABLE_ROUNDS:
            yield from self._fail(f"No tool call of {self._unparsable} rounds in sequence could be parsed")
        results = yield from self._run(made)
        self._add(made, results)
        yield from self._message(_assistant_message(made))
        for message in _result_messages(results):
            yield from self._message(message)
        return True

    def _predict(self, index: int, *, is_last: bool) -> Generator[Step, Any, PredictionResult]:
        """The prediction of a round.

        The last round that is allowed keeps the definitions of the tools, so that the prompt stays the same and LM
        Studio's cache holds, and forbids their use. Guess: servers that are older than ``toolChoice`` ignore that; if
        the model calls a tool all the same, it is asked again without any.
        """
        definitions = [tool.definition for tool in self._tools.values()]
        options: dict[str, Any] = {**self._options.prediction, **self._callbacks(index), "tools": definitions}
        if is_last:
            options["tool_choice"] = "none"
        result: PredictionResult = yield Predict(self._history(), {**options, **self._limits()})
        if is_last and (result.tool_calls or result.failed_tool_calls) and result.finish_reason != "cancelled":
            del options["tools"], options["tool_choice"]
            result = yield Predict(self._history(), {**options, **self._limits()})
        return result

    def _history(self) -> PreparedHistory:
        """The conversation so far. A later round's begins with the bytes of an earlier one's."""
        builder = HistoryBuilder()
        for add in self._added:
            add(builder)
        added = builder.build()
        messages = [*self._given, *added.messages]
        given = {
            part["toolCallRequest"].get("id")
            for message in self._given
            for part in message["content"]
            if isinstance(part, dict) and part["type"] == "toolCallRequest"
        }
        return PreparedHistory(messages, call_ids={*filter(None, given), *added.call_ids})

    def _callbacks(self, index: int) -> dict[str, Any]:
        """The callbacks of a prediction, which get the number of the round as their last argument."""
        options = self._options
        made: dict[str, Any] = {"on_load_progress": options.on_load_progress}
        if (on_first := options.on_first_token) is not None:
            made["on_first_token"] = lambda: on_first(index)
        if (on_fragment := options.on_prediction_fragment) is not None:
            made["on_prediction_fragment"] = lambda fragment: on_fragment(fragment, index)
        if (on_progress := options.on_prompt_processing_progress) is not None:
            made["on_prompt_processing_progress"] = lambda progress: on_progress(progress, index)
        return made

    def _limits(self) -> dict[str, Any]:
        """The limits of the next prediction: ``total`` bounds all rounds and tools together."""
        timeout, cancel = self._options.timeout, self._options.cancel
        seconds = self._seconds_left()
        if seconds is not None and seconds <= 0:
            raise LMStudioTimeoutError(
                f"act() exceeded the time limit 'total' of {timeout.total:g} s after {len(self._results)} rounds. "
                "A longer Timeout(total=…) allows more.",
                limit="total",
                seconds=timeout.total or 0.0,
                last_heard=f"{len(self._results)} complete rounds",
            )
        return {"timeout": timeout if seconds is None else replace(timeout, total=seconds), "cancel": cancel}

    def _seconds_left(self) -> float | None:
        total = self._options.timeout.total
        return None if total is None else total - (time.monotonic() - self._started)

    def _run(self, result: PredictionRoundResult) -> Generator[Step, Any, list[_CallResult]]:
        """The results of a round's tool calls, in the order of the calls."""
        results: dict[str, _CallResult] = {}
        runs: list[ToolRun] = []
        for call in result.tool_calls:
            tool = self._tools.get(call.name)
            if tool is None:
                problem = f"There is no tool {call.name!r}; the tools are {', '.join(map(repr, self._tools))}"
                results[str(call.id)] = yield from self._refuse(call, problem, None)
                continue
            try:
                arguments = tool.parse(call.arguments or {})
            except ValueError as error:
                problem = f"The arguments do not fit the tool {call.name!r}: {error}"
                results[str(call.id)] = yield from self._refuse(call, problem, error)
                continue
            runs.append(ToolRun(tool, call, arguments))
        if runs:
            outcomes: list[ToolOutcome] = yield RunTools(
                runs, self._parallel(), self._seconds_left(), self._options.cancel
            )
            for run, outcome in zip(runs, outcomes, strict=True):
                if outcome.output is not None:
                    results[str(run.call.id)] = _CallResult(run.call, outcome.output)
                else:
                    problem = f"The tool {run.call.name!r} raised {outcome.error!r}"
                    results[str(run.call.id)] = yield from self._refuse(run.call, problem, outcome.error)
        for failed in result.failed_tool_calls:
            problem = f"The tool call could not be parsed: {failed.error.title or 'it is not valid JSON'}"
            results[failed.id] = yield from self._refuse(_request_of(failed), problem, None, failed=True)
        ids = [str(call.id) for call in result.tool_calls] + [failed.id for failed in result.failed_tool_calls]
        return [results[call_id] for call_id in ids]

    def _parallel(self) -> int:
        return self._options.max_parallel_tool_calls or min(32, (os.cpu_count() or 1) + 4)

    def _refuse(
        self, call: ToolCallRequest, problem: str, cause: BaseException | None, *, failed: bool = False
    ) -> Generator[Step, Any, _CallResult]:
        """What the model gets in place of a result: the error, unless the callback says otherwise."""
        text: Any = None
        if (handle := self._options.handle_invalid_tool_request) is not None:
            text = yield CallBack(handle, (_error(problem, call, cause), call))
            if text is not None and not isinstance(text, str):
                raise LMStudioValueError(
                    f"handle_invalid_tool_request returned {type(text).__name__}: expected text for the model, or None"
                )
        return _CallResult(call, ToolOutput(problem if text is None else text), failed=failed)

    def _fail(self, problem: str) -> Generator[Step, Any, None]:
        """End ``act`` with an error, unless the callback raises another one."""
        error = _error(problem, None, None)
        if (handle := self._options.handle_invalid_tool_request) is not None:
            yield CallBack(handle, (error, None))
        raise error

    def _message(self, message: AssistantMessage | Mapping[str, Any]) -> Generator[Step, Any, None]:
        appended = self._chat.append(message)
        if (on_message := self._options.on_message) is not None:
            yield CallBack(on_message, (appended,))

    def _add(self, result: PredictionRoundResult, results: Sequence[_CallResult]) -> None:
        """Take a round into the history of the next one."""
        start, end = result.reasoning_tags

        def add(builder: HistoryBuilder) -> None:
            builder.add_assistant(
                result.content,
                calls=[(call.id, call.name, call.arguments or {}) for call in result.tool_calls],
                invalid_calls=[
                    (failed.id, failed.name, failed.raw_content or failed.arguments)
                    for failed in result.failed_tool_calls
                ],
                reasoning=result.reasoning,
                reasoning_tags=(start, end) if start and end else None,
            )
            for item in results:
                builder.add_tool_result(item.output.text, item.call.id, item.call.name, item.output.images)

        self._added.append(add)


@dataclass(frozen=True, slots=True)
class _CallResult:
    """A tool call and what the model gets for it. ``failed``: LM Studio could not parse the call."""

    call: ToolCallRequest
    output: ToolOutput
    failed: bool = False


def _error(problem: str, call: ToolCallRequest | None, cause: BaseException | None) -> LMStudioToolCallError:
    error = LMStudioToolCallError(problem)
    error.tool_call = call
    error.__cause__ = cause
    return error


def _request_of(failed: ToolCallFailed) -> ToolCallRequest:
    """A call that could not be parsed, as far as it is known; the name is the one under which the history has it."""
    return ToolCallRequest(id=failed.id, name=failed.name or "unknown_tool", arguments={})


def _assistant_message(result: PredictionRoundResult) -> AssistantMessage:
    calls = [*result.tool_calls, *map(_request_of, result.failed_tool_calls)]
    return AssistantMessage(
        content=[TextPart(text=result.content), *(ToolCallRequestPart(tool_call_request=call) for call in calls)]
    )


def _result_messages(results: Sequence[_CallResult]) -> list[dict[str, Any]]:
    """The tool message of a round; if tools returned images, the two messages that show them, too."""
    builder = HistoryBuilder()
    for item in results:
        builder.add_tool_result(item.output.text, item.call.id, item.call.name, item.output.images)
    return builder.build().messages


def drive(steps: Steps, predict: Callable[[PreparedHistory, Mapping[str, Any]], PredictionResult]) -> ActResult:
    """Carry out the steps, blocking."""
    outcome: Any = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as end:
            result: ActResult = end.value
            return result
        if isinstance(step, Predict):
            outcome = predict(step.history, step.options)
        elif isinstance(step, RunTools):
            outcome = run_tools(step.runs, step.parallel, step.seconds, step.cancel)
        else:
            outcome = step.function(*step.arguments)


async def drive_async(
    steps: Steps, predict: Callable[[PreparedHistory, Mapping[str, Any]], Awaitable[PredictionResult]]
) -> ActResult:
    """Carry out the steps in a task. Callbacks may be coroutine functions."""
    outcome: Any = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as end:
            result: ActResult = end.value
            return result
        if isinstance(step, Predict):
            outcome = await predict(step.history, step.options)
        elif isinstance(step, RunTools):
            outcome = await run_tools_async(step.runs, step.parallel, step.seconds, step.cancel)
        else:
            outcome = step.function(*step.arguments)
            if isinstance(outcome, Awaitable):
                outcome = await outcome
