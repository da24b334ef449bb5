"""Progress bars for terminals and notebooks, drawn by tqdm. The handlers of both adapters use them."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Hashable
from typing import Any, TextIO

from lmstudio_integrations.client.events import LoadProgress, PromptProgress

__all__ = ["ProgressBars"]

_FRACTION = "{desc}: |{bar}| {percentage:3.0f}%{postfix}"
_COUNT = "{desc}: |{bar}| {n_fmt}/{total_fmt}"
_TOKENS = "{desc}: {n_fmt} tokens{postfix} [{rate_fmt}]"


class ProgressBars:
    """The bars of several calls at once, one for each call. Thread-safe.

    Example:
        ```python
        from lmstudio_integrations import PromptProgress
        from lmstudio_integrations.client.progress_bar import ProgressBars

        bars = ProgressBars()
        bars.show("call 1", PromptProgress(0.5))
        bars.end("call 1")
        ```

    A bar shows the loading of the call's model, then the processing of its prompt, then (``count_token``) its answer;
    ``show_count`` shows any other work.
    In a terminal it is drawn as text, and in a notebook as a widget (as text without ``ipywidgets``). In a pipe or a
    file, each bar that stays is one line of text, written when it has ended.

    Args:
        file: The stream to draw on. ``None`` is the notebook's output, else stderr.
        leave: Whether a bar stays when it has ended.

    Raises:
        ImportError: tqdm is not installed.
    """

    def __init__(self, *, file: TextIO | None = None, leave: bool = False) -> None:
        self._bar_class = _bar_class()
        self._file = file
        self._leave = leave
        self._bars: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    @property
    def showing(self) -> int:
        """The number of bars."""
        return len(self._bars)

    def show(self, call: Hashable, progress: PromptProgress | LoadProgress) -> None:
        """Draw the progress of loading the model or of processing the prompt of ``call``."""
        with self._lock:
            title = _title(progress)
            bar = self._bars.get(call)
            if bar is None or bar.desc != title:
                if progress.progress >= 1:  # complete before it was shown
                    self._close(call)
                    return
                bar = self._open(call, title, total=1.0, bar_format=_FRACTION)
            bar.set_postfix_str(_details(progress), refresh=False)
            bar.update(min(progress.progress, 1.0) - bar.n)
            if progress.progress >= 1:
                self._close(call)

    def show_count(self, call: Hashable, title: str, done: int, total: int) -> None:
        """Draw how many of ``total`` are done."""
        with self._lock:
            bar = self._bars.get(call) or self._open(call, title, total=total, bar_format=_COUNT)
            bar.update(done - bar.n)
            if bar.disable:
                bar.n = done

    def count_token(self, call: Hashable) -> None:
        """Count one more token of the answer to ``call``."""
        with self._lock:
            bar = self._bars.get(call)
            if bar is None or bar.total is not None:
                bar = self._open(call, "Answering", unit="tok", bar_format=_TOKENS)
            bar.update()
            if bar.disable:
                bar.n += 1

    def end(self, call: Hashable, *, failed: bool = False) -> None:
        """End the bar of ``call``, if there is one. A notebook shows the bar of a failed call in red."""
        with self._lock:
            self._close(call, failed=failed)

    def refresh(self) -> None:
        """Draw all bars now. They are drawn at most ten times a second otherwise."""
        with self._lock:
            for bar in self._bars.values():
                bar.refresh()

    def write(self, line: str) -> None:
        """Write a line of text above the bars."""
        default = sys.stdout if _in_notebook() else sys.stderr
        self._bar_class.write(line, file=self._file or default)

    def _open(self, call: Hashable, title: str, **options: Any) -> Any:
        self._close(call)
        bar = self._bar_class(
            desc=title, file=self._file, leave=self._leave, disable=not self._is_drawable(), miniters=1, **options
        )
        if bar.disable:  # tqdm sets nothing on such a bar
            bar.desc, bar.total, bar.n, bar.postfix = title, options.get("total"), 0, ""
        self._bars[call] = bar
        return bar

    def _close(self, call: Hashable, *, failed: bool = False) -> None:
        bar = self._bars.pop(call, None)
        if bar is not None:
            if bar.total and not failed:
                bar.update(bar.total - bar.n)  # a server may skip the last step; an incomplete bar looks like a failure
            in_text = bar.disable and self._leave
            bar.close()
            if in_text:
                self.write(
                    f"{bar.desc}: failed"
                    if failed
                    else f"{bar.desc}: 100%"
                    if bar.total
                    else f"{bar.desc}: {bar.n} tokens"
                )

    def _is_drawable(self) -> bool:
        if self._file is None and _in_notebook():
            return True
        try:
            return (self._file or sys.stderr).isatty()
        except (AttributeError, ValueError):  # no stderr (pythonw), or a closed one
            return False


def _title(progress: PromptProgress | LoadProgress) -> str:
    if isinstance(progress, PromptProgress):
        return "Processing the prompt"
    return f"Loading {progress.identifier or 'the model'}"


def _details(progress: PromptProgress | LoadProgress) -> str:
    if isinstance(progress, LoadProgress) or progress.total_tokens is None or progress.processed_tokens is None:
        return ""
    cached = f", {progress.cached_tokens} cached" if progress.cached_tokens else ""
    return f"{progress.processed_tokens}/{progress.total_tokens} tokens{cached}"


def _bar_class() -> Any:
    """Tqdm's class for this process: a notebook's widget, or text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tqdm warns in a notebook without ipywidgets, where text is right
            from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError('Progress bars need tqdm: pip install "lmstudio-integrations[progress]"') from error

    class Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
        monitor_interval = 0  # no thread that watches for bars that are updated rarely

    return Bar


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return "ipykernel.zmqshell" in sys.modules and get_ipython is not None and get_ipython() is not None
