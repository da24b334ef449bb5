"""The raw server as a process of its own, to be killed.

``python -m benchmarks.reliability.server_process PORT PACE LOG HOLD`` prints its port. It answers a prompt with
``answer_of(prompt)``, and appends a line of JSON to LOG for each answer that it begins and finishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

from .server import FaultSite, Message, RawServer

__all__ = ["ServerProcess", "answer_of"]

_ROOT = Path(__file__).parents[2]


def answer_of(prompt: str) -> str:
    """What the server says to a prompt."""
    return "".join(_pieces(prompt))


def _pieces(prompt: str) -> list[str]:
    return [f"{word} " for word in (prompt, "is", "answered", "téxt", "👩‍🚀")]


class _LoggingServer(RawServer):
    """Writes down what it begins and finishes. Embeddings take ``pace`` seconds each, before their answer."""

    def __init__(self, pace: float, log: Path, *, hold: bool) -> None:
        super().__init__(pace=pace)
        self.fragments = self._fragments
        self._log = log.open("a", encoding="utf-8")
        self._hold = hold

    def note(self, event: str, what: str) -> None:
        self._log.write(json.dumps([event, what]) + "\n")
        self._log.flush()

    def _fragments(self, creation: Message) -> Iterable[str]:
        prompt = creation["history"]["messages"][-1]["content"][0]["text"]
        self.note("begun", prompt)
        yield from _pieces(prompt)
        self.note("finished", prompt)

    async def _predict(self, site: FaultSite, creation: Message) -> None:
        self.note("asked", creation["history"]["messages"][-1]["content"][0]["text"])
        if self._hold:
            await asyncio.Event().wait()
        await super()._predict(site, creation)

    async def _embed(self, site: FaultSite, parameter: Message) -> None:
        await asyncio.sleep(self.pace)
        await super()._embed(site, parameter)
        self.note("finished", parameter["inputString"])


class ServerProcess:
    """The process. ``kill()`` ends it with SIGKILL, ``start()`` starts another on the same port."""

    restarts: ClassVar[int] = 0
    """How often a killed server was started again, by all objects of this process."""

    def __init__(self, pace: float = 0.01) -> None:
        self._pace = pace
        self._folder = tempfile.TemporaryDirectory()
        self.log = Path(self._folder.name) / "log"
        self.log.touch()
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self, *, hold: bool = False) -> None:
        """Start it. ``hold``: no prediction is ever answered."""
        ServerProcess.restarts += self.port != 0
        command = [sys.executable, "-m", "benchmarks.reliability.server_process", str(self.port), str(self._pace)]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        self._process = subprocess.Popen(  # noqa: S603  # our own module, no shell
            [*command, str(self.log), str(int(hold))], env=environment, cwd=_ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """SIGKILL, and the process is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def events(self, kind: str) -> Counter[str]:
        """How often each prompt or text was asked, begun or finished."""
        found: Counter[str] = Counter()
        for line in self.log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                event, what = json.loads(line)
                found[what] += event == kind
        return +found

    def when(self, kind: str, count: int, seconds: float = 30.0) -> None:
        """Wait until so many prompts or texts were asked, begun or finished."""
        end = time.monotonic() + seconds
        while len(self.events(kind)) < count:
            assert time.monotonic() < end, f"{len(self.events(kind))} of {count} {kind}"
            time.sleep(0.01)

    def restart_when(self, kind: str, count: int, away: float = 0.5) -> threading.Thread:
        """In a thread: kill it once so many were asked, begun or finished; start it again after ``away`` seconds."""

        def run() -> None:
            self.when(kind, count)
            self.kill()
            time.sleep(away)
            self.start()

        thread = threading.Thread(target=run, name="Thread-restart")
        thread.start()
        return thread


def main(arguments: list[str]) -> int:
    """Serve until killed."""
    port, pace, log, hold = arguments
    server: Any = _LoggingServer(float(pace), Path(log), hold=hold == "1")
    server.port = int(port)
    with server:
        print(server.port, flush=True)  # noqa: T201  # for the process that started it
        signal.pause()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
