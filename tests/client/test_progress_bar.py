"""Bars in a terminal, in a pipe, and in a notebook with and without widgets."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lmstudio_integrations.client import LoadProgress, PromptProgress
from lmstudio_integrations.client.progress_bar import ProgressBars
from tests.fresh import run

pytest.importorskip("tqdm", reason="progress bars need the extra `progress`")

HALF = PromptProgress(0.5, cached_tokens=10, total_tokens=100, processed_tokens=50)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_prompt_bar_shows_title_percent_and_tokens() -> None:
    terminal = Terminal()
    bars = ProgressBars(file=terminal)
    bars.show("a", HALF)
    bars.refresh()
    assert bars.showing == 1
    assert "Processing the prompt: |" in terminal.getvalue()
    assert "50%, 50/100 tokens, 10 cached" in terminal.getvalue()


def test_bar_is_removed_at_100_percent() -> None:
    terminal = Terminal()
    bars = ProgressBars(file=terminal)
    bars.show("a", HALF)
    bars.show("a", PromptProgress(1.0))
    assert bars.showing == 0
    assert terminal.getvalue().rsplit("\r", 2)[-2].strip() == "", "the line is cleared"


def test_bar_with_leave_stays_complete() -> None:
    terminal = Terminal()
    bars = ProgressBars(file=terminal, leave=True)
    bars.show("a", HALF)
    bars.show("a", PromptProgress(1.0))
    assert "100%" in terminal.getvalue().rsplit("\r", 1)[-1]


def test_bar_ended_early_is_complete_unless_the_call_failed() -> None:
    for failed, percent in ((False, "100%"), (True, "50%")):
        terminal = Terminal()
        bars = ProgressBars(file=terminal, leave=True)
        bars.show("a", HALF)
        bars.end("a", failed=failed)
        assert percent in terminal.getvalue().rsplit("\r", 1)[-1]


def test_first_report_of_100_percent_shows_no_bar() -> None:
    terminal = Terminal()
    bars = ProgressBars(file=terminal)
    bars.show("a", PromptProgress(1.0))
    assert (bars.showing, terminal.getvalue()) == (0, "")


def test_progress_above_one_is_drawn_as_100_percent() -> None:
    terminal = Terminal()
    bars = ProgressBars(file=terminal, leave=True)
    bars.show("a", HALF)
    bars.show("a", PromptProgress(3.0))
    assert "100%" in terminal.getvalue()
    assert "300%" not in terminal.getvalue()


def test_stages_of_one_call_have_one_bar_after_another() -> None:
    terminal = Terminal()
    bars = ProgressBars(file=terminal, leave=True)
    bars.show("a", LoadProgress(0.1, "some/model"))
    bars.show("a", HALF)
    bars.count_token("a")
    bars.count_token("a")
    assert bars.showing == 1
    bars.end("a")
    shown = terminal.getvalue()
    assert shown.index("Loading some/model") < shown.index("Processing the prompt") < shown.index("Answering: 2 tokens")


def test_calls_at_once_have_a_bar_each() -> None:
    bars = ProgressBars(file=Terminal())
    bars.show("a", HALF)
    bars.show("b", HALF)
    assert bars.showing == 2
    bars.end("a")
    bars.end("a")
    assert bars.showing == 1


def test_pipe_gets_one_line_for_each_bar_that_stays() -> None:
    pipe = io.StringIO()
    bars = ProgressBars(file=pipe, leave=True)
    bars.show("a", LoadProgress(0.1))
    bars.show("a", HALF)
    bars.count_token("a")
    bars.count_token("a")
    bars.end("a")
    bars.show("b", HALF)
    bars.end("b", failed=True)
    assert pipe.getvalue().splitlines() == [
        "Loading the model: 100%",
        "Processing the prompt: 100%",
        "Answering: 2 tokens",
        "Processing the prompt: failed",
    ]


def test_pipe_gets_no_bar_and_every_written_line() -> None:
    pipe = io.StringIO()
    bars = ProgressBars(file=pipe)
    bars.show("a", HALF)
    bars.write("a line")
    bars.end("a")
    assert pipe.getvalue() == "a line\n"


def test_closed_or_missing_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stderr in (None, closed):
        monkeypatch.setattr(sys, "stderr", stderr)
        bars = ProgressBars()
        bars.show("a", HALF)
        bars.end("a")


def test_threads_share_the_bars() -> None:
    bars = ProgressBars(file=Terminal())

    def call(number: int) -> None:
        for step in range(10):
            bars.show(number, PromptProgress(step / 10))
        bars.count_token(number)
        bars.end(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(40)))
    assert bars.showing == 0


NOTEBOOK = """
import sys, types, warnings

warnings.simplefilter("error")
shell = types.SimpleNamespace(config={"IPKernelApp": {}})
ipython = types.ModuleType("IPython")
ipython.get_ipython = lambda: shell
display = types.ModuleType("IPython.display")
display.display = lambda *shown: print("widget" if getattr(shown[0], "is_widget", False) else "?")
kernel = types.ModuleType("ipykernel.zmqshell")
sys.modules |= {"IPython": ipython, "IPython.display": display, "ipykernel.zmqshell": kernel}
%s
from lmstudio_integrations.client import PromptProgress
from lmstudio_integrations.client.progress_bar import ProgressBars

bars = ProgressBars()
bars.show("a", PromptProgress(0.5))
bars.refresh()
print(bars._bar_class.__mro__[1].__module__, bars._bar_class.__mro__[2].__module__)
bars.end("a")
bars.write("a line")
"""
WIDGETS = """
class Widget:
    is_widget = True

    def __init__(self, children=(), **values):
        self.children, self.layout, self.bar_style = children, types.SimpleNamespace(), ""
        self.style = types.SimpleNamespace(bar_color=None)
        self.__dict__.update(values)

    def close(self):
        print("closed")

ipywidgets = types.ModuleType("ipywidgets")
ipywidgets.HBox = ipywidgets.HTML = ipywidgets.FloatProgress = ipywidgets.IntProgress = Widget
ipywidgets.__version__ = "8.1.0"
sys.modules["ipywidgets"] = ipywidgets
"""
NO_WIDGETS = "sys.modules['ipywidgets'] = None"


def test_notebook_with_widgets_draws_a_widget() -> None:
    """The kernel and its widgets are imitations with what tqdm uses of them."""
    assert run(NOTEBOOK % WIDGETS).splitlines()[0] == "widget"
    assert "closed" in run(NOTEBOOK % WIDGETS)


def test_notebook_without_widgets_draws_text_without_a_warning() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", NOTEBOOK % NO_WIDGETS], capture_output=True, text=True, timeout=50, check=True
    )
    assert "Processing the prompt: |" in ran.stderr, "although stderr of a kernel is no terminal"
    assert "Warning" not in ran.stderr
    assert ran.stdout.splitlines()[-1] == "a line"


def test_without_tqdm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = dict.fromkeys(("tqdm", "tqdm.auto"))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(ImportError, match=r'pip install "lmstudio-integrations\[progress\]"'):
        ProgressBars()
