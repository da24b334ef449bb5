"""``ProgressBar``: a callback handler that draws progress bars and prints the statistics of each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from langchain_core.callbacks import BaseCallbackHandler

from lmstudio_integrations.client import LoadProgress, PromptProgress, QueueProgress
from lmstudio_integrations.client.progress_bar import ProgressBars
from lmstudio_integrations.langchain._progress import listen

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_core.outputs import LLMResult

__all__ = ["ProgressBar"]


class ProgressBar(BaseCallbackHandler):
    """Shows the progress of every LM Studio model to which it is passed, in terminals and notebooks.

    Example:
        ```python
        from lmstudio_integrations.langchain import ChatLMStudio, ProgressBar

        model = ChatLMStudio(model="qwen/qwen3-4b")
        for chunk in model.stream("Why is the sky blue?", config={"callbacks": [ProgressBar()]}):
            print(chunk.text, end="")
        #> Air scatters blue light more than red.
        ```

    It works in the config of a chain or an agent, too. A bar ends with the first token, so that a streamed answer can
    be printed below it. Nothing is drawn if the output is a pipe or a file.

    Args:
        file: The stream to draw on. ``None`` is the notebook's output, else stderr.
        answering: Count the tokens of the answer in the bar, for answers that are not printed while they stream.
        transient: Remove a bar when it has ended.
        summary: Print a line with tokens, seconds to the first token and tokens per second after each answer.

    Raises:
        ImportError: tqdm is not installed: ``pip install "lmstudio-integrations[progress]"``.
    """

    run_inline = True  # in the context of the call, and in the order of the events

    def __init__(
        self,
        *,
        file: TextIO | None = None,
        answering: bool = False,
        transient: bool = True,
        summary: bool = True,
    ) -> None:
        self._bars = ProgressBars(file=file, leave=not transient)
        self._answering = answering
        self._summary = summary
        self._runs: dict[UUID, _Run] = {}

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._start(run_id)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._start(run_id)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        run = self._runs.get(run_id)
        if run is None:
            return
        if self._answering:
            self._bars.count_token(run_id)
        elif not run.streamed:
            run.streamed = True
            self._bars.end(run_id)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        run = self._end(run_id)
        summary = _summary(response) if self._summary else None
        if run is not None and summary:
            # A streamed answer was printed on the last line, without a line break.
            self._bars.write(f"\n{summary}" if run.streamed else summary)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, failed=True)

    def _start(self, run_id: UUID) -> None:
        run = self._runs[run_id] = _Run(self._bars, run_id)
        listen(run)

    def _end(self, run_id: UUID, *, failed: bool = False) -> _Run | None:
        self._bars.end(run_id, failed=failed)
        run = self._runs.pop(run_id, None)
        if run is not None:
            run.done = True
        return run


class _Run:
    """Draws the progress of one run. ``streamed``: the answer has started; ``done``: the run has ended."""

    def __init__(self, bars: ProgressBars, run_id: UUID) -> None:
        self._bars = bars
        self._run_id = run_id
        self.streamed = False
        self.done = False

    def progress(self, event: PromptProgress | LoadProgress | QueueProgress) -> None:
        """One step of loading or of processing the prompt. Waiting in the queue has no bar."""
        if not isinstance(event, QueueProgress):
            self._bars.show(self._run_id, event)


def _summary(response: LLMResult) -> str | None:
    """The statistics of the answer in one line, as far as it has them."""
    try:
        generation: Any = response.generations[0][0]
    except IndexError:
        return None
    message = getattr(generation, "message", None)
    found = message.response_metadata if message is not None else generation.generation_info or {}
    stats = found.get("stats")
    if not stats:
        return None
    values = [
        (stats.get("prompt_tokens_count"), "{} prompt tokens"),
        (stats.get("predicted_tokens_count"), "{} answer tokens"),
        (stats.get("time_to_first_token_sec"), "first token after {:.2f} s"),
        (stats.get("tokens_per_second"), "{:.1f} tokens/s"),
        (found.get("stop_reason"), "stop reason {}"),
    ]
    return ", ".join(form.format(value) for value, form in values if value is not None)
