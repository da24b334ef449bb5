"""The child process that runs llama.cpp: started, asked for its address, and ended with its parent."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from lmstudio_integrations.errors import LMStudioError

_PROGRAM = Path(__file__).with_name("llama_child.py")
_LAST_WORDS = 600
_START_SECONDS = 120  # a large file on a slow disk; the small model needs half a second


class LlamaProcess:
    """One running child. It ends when its standard input closes, so it never outlives this process."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None

    async def start(self) -> str:
        """Start it; the address of its server.

        Raises:
            LMStudioError: it ended before the model was loaded; says with which words.
        """
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
            process = self._process = _launch(log)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(self._settings) + "\n")
            process.stdin.flush()
            try:
                async with asyncio.timeout(_START_SECONDS):
                    line = await asyncio.to_thread(process.stdout.readline)
            except TimeoutError:
                line = ""
            if line:
                return str(json.loads(line)["address"])
            await self.stop()
            log.seek(0)
            words = log.read()[-_LAST_WORDS:].strip()
        raise LMStudioError(f"The real model {self._settings['path']} did not start: {words}")

    async def stop(self) -> None:
        """End it and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    @property
    def pid(self) -> int | None:
        """The child's process number while it runs."""
        return None if self._process is None else self._process.pid


def _launch(log: IO[str]) -> subprocess.Popen[str]:
    # -P: the modules that lie beside the program are none of its business.
    command = [sys.executable, "-P", str(_PROGRAM)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
