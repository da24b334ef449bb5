"""``ProgressBar``: bars for loading and for the prompt, the speed of the answer, the statistics at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler

from lmstudio_integrations.langchain._progress import LOAD_PROGRESS, listen

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_core.outputs import LLMResult
    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = ["ProgressBar"]


class ProgressBar(BaseCallbackHandler):
    """Shows the progress of every LM Studio model that it is passed to, in terminals and in notebooks.

    ``model.stream(…, config={"callbacks": [ProgressBar()]})``, or in a chain's or agent's config. The bars end with the
    first token, so that a streamed answer can be printed below them. ``console``: a ``rich`` console to draw on;
    ``answering``: count the tokens of the answer, too (for answers that are not printed as they come); ``transient``:
    whether finished bars go away; ``summary``: whether a line with tokens, seconds to the first token and tokens per
    second stays at the end.

    Raises ``ImportError`` without ``rich``: ``pip install "lmstudio-integrations[progress]"``.
    """

    run_inline = True  # so that it runs in the context of the call, and in the order of the events

    def __init__(
        self,
        *,
        console: Console | None = None,
        answering: bool = False,
        transient: bool = True,
        summary: bool = True,
    ) -> None:
        self._progress = _rich_progress(console, transient=transient)
        self._answering = answering
        self._summary = summary
        self._runs: dict[UUID, _Run] = {}

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._begin(run_id)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._begin(run_id)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        run = self._runs.get(run_id)
        if run is None:
            return
        if self._answering:
            run.token()
        elif not run.done:
            run.end()
            self._rest()

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, _summary(response) if self._summary else None)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, None)

    def _begin(self, run_id: UUID) -> None:
        self._progress.start()
        run = self._runs[run_id] = _Run(self._progress)
        listen(run)

    def _end(self, run_id: UUID, summary: str | None) -> None:
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        streamed = run.done
        run.end()
        self._rest()
        if summary:  # behind an answer that was printed as it came, on a line of its own
            self._progress.console.print(f"\n{summary}" if streamed else summary, highlight=False)

    def _rest(self) -> None:
        """Give the terminal back as long as there is nothing to draw."""
        if all(run.done for run in self._runs.values()):
            self._progress.stop()
            for task in self._progress.task_ids:  # what stays on the screen is not drawn again
                self._progress.remove_task(task)


class _Run:
    """The one bar of a run, which changes what it shows."""

    def __init__(self, progress: Progress) -> None:
        self._bars = progress
        self._task: TaskID | None = None
        self._shows = ""
        self.done = False

    def progress(self, name: str, data: dict[str, Any]) -> None:
        """One step of loading, or of reading the prompt."""
        words = "loading the model" if name == LOAD_PROGRESS else "reading the prompt"
        self._show(words, total=1.0)
        assert self._task is not None
        self._bars.update(self._task, completed=data["progress"])

    def token(self) -> None:
        """One more piece of the answer."""
        self._show("answering", total=None)
        assert self._task is not None
        self._bars.advance(self._task)

    def end(self) -> None:
        """Take the bar away, or leave it full."""
        self.done = True
        task, self._task = self._task, None
        if task is not None:
            self._bars.stop_task(task)
            if self._bars.live.transient:
                self._bars.remove_task(task)

    def _show(self, words: str, total: float | None) -> None:
        if self._shows == words:
            return
        self._shows = words
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(words, total=total)


def _rich_progress(console: Console | None, *, transient: bool) -> Progress:
    try:
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.text import Text
    except ImportError as error:
        raise ImportError('ProgressBar needs rich: pip install "lmstudio-integrations[progress]"') from error

    class Amount(ProgressColumn):
        """Per cent while something is read; pieces per second while it answers."""

        def render(self, task: Task) -> Text:
            if task.total is not None:
                return Text(f"{task.percentage:3.0f} %")
            return Text(f"{int(task.completed)} tokens" + (f", {task.speed:.1f}/s" if task.speed else ""))

    return Progress(TextColumn("{task.description}"), BarColumn(), Amount(), console=console, transient=transient)


def _summary(response: LLMResult) -> str | None:
    """One line of the statistics, as far as the answer has them."""
    try:
        generation: Any = response.generations[0][0]
    except IndexError:
        return None
    message = getattr(generation, "message", None)
    found = message.response_metadata if message is not None else generation.generation_info or {}
    stats = found.get("stats")
    if not stats:
        return None
    words = [
        (stats.get("prompt_tokens_count"), "{} prompt tokens"),
        (stats.get("predicted_tokens_count"), "{} answered"),
        (stats.get("time_to_first_token_sec"), "first after {:.2f} s"),
        (stats.get("tokens_per_second"), "{:.1f} tokens/s"),
        (found.get("stop_reason"), "stopped: {}"),
    ]
    return ", ".join(form.format(value) for value, form in words if value is not None)
