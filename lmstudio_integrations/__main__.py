"""``python -m lmstudio_integrations``: the server, its version, its models, the token, and one round trip.

The first thing to run if something does not work. It loads no model: the round trip goes to an LLM that is loaded
already; if there is none, the report says that it was left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, NotRequired, TypedDict

from lmstudio_integrations import Client
from lmstudio_integrations._version import __version__
from lmstudio_integrations.client.settings import TOKEN_VARIABLES
from lmstudio_integrations.errors import LMStudioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmstudio_integrations import LLM

__all__ = ["main"]

QUESTION = "Answer with one word: what colour is the sky on a clear day?"
_PACKAGES = ("websockets", "pydantic", "langchain-core", "llama-index-core", "lmstudio")
_INDENT = " " * 12
_PIPED_WIDTH = 120


class Model(TypedDict):
    """A downloaded or loaded model in the report; ``name`` is its key, or the identifier of a loaded instance.

    ``device`` is the device of LM Link that it is on; a model of this server has none.
    """

    name: str
    type: str
    device: NotRequired[str]


class RoundTrip(TypedDict):
    """One question and its answer; a figure that the server does not give is ``None``."""

    model: str
    seconds: float
    answer: str
    prompt_tokens: float | None
    generated_tokens: float | None
    time_to_first_token_sec: float | None
    tokens_per_second: float | None
    stop_reason: str


class ErrorReport(TypedDict):
    """What ended the report early: the error's class and text."""

    type: str
    message: str


class Report(TypedDict):
    """What ``--json`` prints. ``None``: not reached because of ``error``, or (``round_trip``) no LLM is loaded.

    ``found_by``: "--url", "LMSTUDIO_BASE_URL" or "usual ports". ``token_from``: the variable that has the API token,
    ``None`` if there is none. The token itself is never in the report.
    """

    version: str
    python: str
    packages: dict[str, str]
    url: str | None
    found_by: str
    token_from: str | None
    server_version: str | None
    server_build: int | None
    downloaded: list[Model] | None
    loaded: list[Model] | None
    round_trip: RoundTrip | None
    error: ErrorReport | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; 0 if a server answered and the round trip, if there was one, came back, else 1.

    ``arguments`` are those of the command line, by default the process's own. Wrong ones end the process with 2,
    as ``argparse`` does.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lmstudio_integrations",
        description="Say which LM Studio answers, what is loaded there, and how long one round trip takes.",
        epilog="Ends with 0 if a server answered and the round trip came back (or no LLM is loaded), with 1 if "
        "not, with 2 after wrong arguments.",
    )
    parser.add_argument(
        "--url", help="like ws://localhost:1234; by default LMSTUDIO_BASE_URL, else LM Studio's usual ports"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args(arguments)
    report = _new_report(options.url)
    try:
        for title, entries in _sections(options.url, report):
            if not options.json:
                _print_section(title, entries)
    except LMStudioError as error:
        report["error"] = {"type": type(error).__name__, "message": str(error)}
        if not options.json:
            print(f"\n{_wrap(f'{type(error).__name__}: {error}')}", file=sys.stderr)
    if options.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    return 0 if report["error"] is None else 1


def _new_report(url: str | None) -> Report:
    found_by = "usual ports"
    if url is not None:
        found_by = "--url"
    elif os.environ.get("LMSTUDIO_BASE_URL"):
        found_by = "LMSTUDIO_BASE_URL"
    return {
        "version": __version__,
        "python": sys.version.split()[0],
        "packages": dict(_installed()),
        "url": None,
        "found_by": found_by,
        "token_from": next((name for name in TOKEN_VARIABLES if os.environ.get(name, "").strip()), None),
        "server_version": None,
        "server_build": None,
        "downloaded": None,
        "loaded": None,
        "round_trip": None,
        "error": None,
    }


def _installed() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _sections(url: str | None, report: Report) -> Iterator[tuple[str, list[str]]]:
    """Ask the server for one thing after the other: fills in ``report``, and yields title and entries of each part."""
    packages = ", ".join(f"{name} {number}" for name, number in report["packages"].items())
    yield "", [f"lmstudio-integrations {report['version']}, Python {report['python']}, {packages}"]
    with Client(url) as client:
        address = client.url
        if address is None:
            host = Client.find_default_local_api_host()
            # No server: the request below raises the error that names the addresses.
            address = None if host is None else f"ws://{host}"
        server = client.system.version()
        report["url"] = address
        found_by = report["found_by"]
        how = "found at one of LM Studio's usual ports" if found_by == "usual ports" else f"from {found_by}"
        yield "server", [f"{address} ({how})"]
        yield "token", [f"from {report['token_from']}" if report["token_from"] else "none"]
        report["server_version"], report["server_build"] = server.version, server.build
        yield "version", [f"{server.version} (build {server.build})"]
        downloaded = [
            _model(model.model_key, model.type, model.device_identifier) for model in client.list_downloaded_models()
        ]
        report["downloaded"] = downloaded
        yield "downloaded", _names(downloaded)
        llms = client.llm.list_loaded()
        loaded = [_model(llm.identifier, "llm", llm.device) for llm in llms]
        loaded += [_model(one.identifier, "embedding", one.device) for one in client.embedding.list_loaded()]
        report["loaded"] = loaded
        yield "loaded", _names(loaded)
        if not llms:
            yield (
                "round trip",
                ["none, because no LLM is loaded. Load one in LM Studio, or with Client().llm.model(KEY)"],
            )
            return
        trip = report["round_trip"] = _round_trip(llms[0])
        yield "round trip", [_answer(trip), _figures(trip)]


def _round_trip(llm: LLM) -> RoundTrip:
    started = time.perf_counter()
    result = llm.respond(QUESTION, config={"maxTokens": 64, "temperature": 0})
    seconds = time.perf_counter() - started
    stats = result.stats
    return {
        "model": llm.identifier or "",
        "seconds": round(seconds, 3),
        "answer": result.content.strip(),
        "prompt_tokens": stats.prompt_tokens_count,
        "generated_tokens": stats.predicted_tokens_count,
        "time_to_first_token_sec": stats.time_to_first_token_sec,
        "tokens_per_second": stats.tokens_per_second,
        "stop_reason": stats.stop_reason,
    }


def _model(name: str | None, kind: str, device: str | None) -> Model:
    model: Model = {"name": name or "", "type": kind}
    if device is not None:
        model["device"] = device
    return model


def _names(models: Sequence[Model]) -> list[str]:
    devices = [f", on {model['device']}" if "device" in model else "" for model in models]
    lines = [f"{model['name']} ({model['type']}{device})" for model, device in zip(models, devices, strict=True)]
    return lines or ["(none)"]


def _answer(trip: RoundTrip) -> str:
    return f"{trip['model']} took {trip['seconds']:.2f} s: {trip['answer']!r}"


def _figures(trip: RoundTrip) -> str:
    return (
        f"{_number(trip['prompt_tokens'])} prompt tokens, {_number(trip['generated_tokens'])} generated, "
        f"first after {_number(trip['time_to_first_token_sec'], '.2f')} s, "
        f"{_number(trip['tokens_per_second'], '.2f')} tokens/s, stopped by {trip['stop_reason']}"
    )


def _number(value: float | None, form: str = ".0f") -> str:
    return "unknown" if value is None else format(value, form)


def _print_section(title: str, entries: Sequence[str]) -> None:
    label = f"{title}:" if title else ""
    for entry in entries:
        print(_wrap(f"{label:<11} {entry}" if title else entry), flush=True)
        label = " "


def _wrap(text: str) -> str:
    """The text in lines that fit the terminal, or ``COLUMNS``, or 120 columns in a pipe; words are never broken."""
    width = max(40, shutil.get_terminal_size((_PIPED_WIDTH, 24)).columns)
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False, tabsize=4)
        for line in text.splitlines()
    )


if __name__ == "__main__":
    sys.exit(main())
