"""``act``: predictions and tool calls in turn, until the model answers without a tool.

The rounds are one generator, ``act_steps``: it yields what has to be done (predict, run tools, call a callback) and
gets the outcome. It does no I/O; ``drive`` and ``drive_async`` carry out the steps for the two kinds of client.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from lmstudio_integrations.client.act_options import ActResult, ActSettings, PredictionRoundResult
from lmstudio_integrations.client.chat import Chat, as_history
from lmstudio_integrations.client.history import NAMELESS_TOOL, HistoryBuilder, PreparedHistory
from lmstudio_integrations.client.result import PredictionResult
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

_ROUND_CALLBACKS = (
    "on_first_token",
    "on_prediction_fragment",
    "on_prompt_processing_progress",
    "on_queue_progress",
    "on_tool_call_start",
    "on_tool_call_name",
    "on_tool_call_arguments",
    "on_tool_call_end",
    "on_tool_call_failed",
)
# After that many rounds in sequence without a tool call that LM Studio could parse, a further one ends ``act``.
_MAX_UNPARSABLE_ROUNDS = 2

__all__ = ["act_steps", "drive", "drive_async"]


@dataclass(frozen=True, slots=True)
class Predict:
    """A prediction is needed; the outcome is its ``PredictionResult``."""

    history: PreparedHistory
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunTools:
    """Tools have to run, ``parallel`` of them at once, within ``seconds``; the outcome is a list of ``ToolOutcome``.

    ``on_start`` is called before each of them.
    """

    runs: Sequence[ToolRun]
    parallel: int
    seconds: float | None
    cancel: CancelToken | None
    on_start: Callable[[ToolRun], object] | None = None


@dataclass(frozen=True, slots=True)
class CallBack:
    """A callback has to be called; the outcome is what it returns."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


Step: TypeAlias = "Predict | RunTools | CallBack"
Steps: TypeAlias = "Generator[Step, Any, ActResult]"


def act_steps(chat: Any, tools: Iterable[ToolInput], options: ActSettings, *, blocking: bool) -> Steps:
    """The rounds. Everything is checked before the first step.

    Raises:
        LMStudioValueError: The chat, a tool or an option cannot be used.
    """
    options.check(blocking=blocking)
    return _Act(chat, act_tools(tools, blocking=blocking), options).steps()


class _Act:
    """One call of ``act``: its conversation, and the steps of each round."""

    def __init__(self, chat: Any, tools: Mapping[str, ActTool], options: ActSettings) -> None:
        self._given: list[dict[str, Any]] = as_history(chat)["messages"]
        self._chat = Chat.from_history({"messages": self._given})
        self._added: list[Callable[[HistoryBuilder], object]] = []
        self._tools = tools
        self._options = options
        self._results: list[PredictionRoundResult] = []
        self._unparsable = 0
        self._tool_output: str | None = None
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
            if not calls or self._tool_output is not None:
                return ActResult(
                    rounds=index + 1,
                    total_time_seconds=time.monotonic() - self._started,
                    results=tuple(self._results),
                    chat=self._chat,
                    tool_output=self._tool_output,
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
        yield from self._message(_assistant_message(made, results))
        for message in _result_messages(results):
            yield from self._message(message)
        if (on_result := self._options.on_tool_result) is not None:
            for item in results:
                yield CallBack(on_result, (item.call, item.output.text, index))
        if all(item.is_direct for item in results):
            self._tool_output = "\n".join(item.output.text for item in results)
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
        elif index == 0:
            options["tool_choice"] = self._options.tool_choice
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
        for name in _ROUND_CALLBACKS:
            if (callback := getattr(options, name)) is not None:
                made[name] = partial(_with_round, callback, index)
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
            refusal: str | None = None
            if (guard := self._options.guard_tool_call) is not None:
                call, refusal = _guarded(call, (yield CallBack(guard, (call, result.round_index))))
            if refusal is not None:
                results[str(call.id)] = _CallResult(call, ToolOutput(refusal))
                continue
            try:
                arguments = tool.parse(call.arguments or {})
            except ValueError as error:
                problem = f"The arguments do not fit the tool {call.name!r}: {error}"
                results[str(call.id)] = yield from self._refuse(call, problem, error)
                continue
            runs.append(ToolRun(tool, call, arguments))
        if runs:
            on_tool_start, index = self._options.on_tool_start, result.round_index
            outcomes: list[ToolOutcome] = yield RunTools(
                runs,
                self._parallel(),
                self._seconds_left(),
                self._options.cancel,
                None if on_tool_start is None else lambda run: on_tool_start(run.call, index),
            )
            for run, outcome in zip(runs, outcomes, strict=True):
                if outcome.output is not None:
                    results[str(run.call.id)] = _CallResult(run.call, outcome.output, is_direct=run.tool.return_direct)
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
        calls = [(item.call.id, item.call.name, item.call.arguments or {}) for item in results if not item.failed]

        def add(builder: HistoryBuilder) -> None:
            builder.add_assistant(
                result.content,
                calls=calls,
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
    """A tool call and what the model gets for it.

    ``failed``: LM Studio could not parse the call. ``is_direct``: the result is the answer, not for the model.
    """

    call: ToolCallRequest
    output: ToolOutput
    failed: bool = False
    is_direct: bool = False


def _guarded(call: ToolCallRequest, decision: Any) -> tuple[ToolCallRequest, str | None]:
    """The call as it will be made, and what the model gets instead if it is denied."""
    if decision is True:
        return call, None
    if decision is False:
        return call, f"The call of the tool {call.name!r} was denied"
    if isinstance(decision, str):
        return call, f"The call of the tool {call.name!r} was denied: {decision}"
    if isinstance(decision, Mapping):
        return call.model_copy(update={"arguments": dict(decision)}), None
    raise LMStudioValueError(
        f"guard_tool_call returned {type(decision).__name__}: expected True, False, a text (the reason of a denial) "
        "or a mapping (other arguments)"
    )


def _with_round(callback: Callable[..., Any], round_index: int, *arguments: Any) -> Any:
    return callback(*arguments, round_index)


def _error(problem: str, call: ToolCallRequest | None, cause: BaseException | None) -> LMStudioToolCallError:
    error = LMStudioToolCallError(problem)
    error.tool_call = call
    error.__cause__ = cause
    return error


def _request_of(failed: ToolCallFailed) -> ToolCallRequest:
    """A call that could not be parsed, as far as it is known."""
    return ToolCallRequest(id=failed.id, name=failed.name or NAMELESS_TOOL, arguments={})


def _assistant_message(result: PredictionRoundResult, results: Sequence[_CallResult]) -> AssistantMessage:
    calls = [item.call for item in results]
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
            outcome = run_tools(step.runs, step.parallel, step.seconds, step.cancel, step.on_start)
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
            outcome = await run_tools_async(step.runs, step.parallel, step.seconds, step.cancel, step.on_start)
        else:
            outcome = step.function(*step.arguments)
            if isinstance(outcome, Awaitable):
                outcome = await outcome
