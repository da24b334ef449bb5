"""``python -m lmstudio_integrations``: the server, its version, its loaded models, and one round trip.

The first thing to run when something does not work. It loads no model: the round trip goes to an LLM that is loaded
already, and is left out, with a word about it, where there is none.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from lmstudio_integrations import Client
from lmstudio_integrations._version import __version__
from lmstudio_integrations.errors import LMStudioError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmstudio_integrations import LLM

__all__ = ["main"]

QUESTION = "Answer with one word: what colour is the sky on a clear day?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; 0 when a server answered and the round trip, if there was one, came back, else 1.

    ``arguments`` are those of the command line, by default the process's own. Wrong ones end the process with 2,
    as ``argparse`` does.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lmstudio_integrations",
        description="Say which LM Studio answers, what is loaded there, and how long one round trip takes.",
    )
    parser.add_argument(
        "--url", help="like ws://localhost:1234; by default LMSTUDIO_BASE_URL, else LM Studio's usual ports"
    )
    options = parser.parse_args(arguments)
    print(f"lmstudio-integrations {__version__}, Python {sys.version.split()[0]}")
    try:
        with Client(options.url) as client:
            _report(client)
    except LMStudioError as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _report(client: Client) -> None:
    version = client.system.version()
    print(f"server:     {client.url or 'found on this machine, at one of the usual ports'}")
    print(f"version:    {version.version} (build {version.build})")
    downloaded = client.list_downloaded_models()
    _list("downloaded", [f"{model.model_key} ({model.type})" for model in downloaded])
    llms = client.llm.list_loaded()
    embedders = client.embedding.list_loaded()
    _list(
        "loaded", [f"{llm.identifier} (llm)" for llm in llms] + [f"{one.identifier} (embedding)" for one in embedders]
    )
    if llms:
        _round_trip(llms[0])
    else:
        print("round trip: none, because no LLM is loaded. Load one in LM Studio, or with Client().llm.model(KEY)")


def _list(title: str, lines: Sequence[str]) -> None:
    label = f"{title}:"
    for line in lines or ["(none)"]:
        print(f"{label:<11} {line}")
        label = ""


def _round_trip(llm: LLM) -> None:
    begun = time.perf_counter()
    result = llm.respond(QUESTION, config={"maxTokens": 64, "temperature": 0})
    seconds = time.perf_counter() - begun
    stats = result.stats
    print(f"round trip: {llm.identifier} took {seconds:.2f} s: {result.content.strip()!r}")
    first, rate = stats.time_to_first_token_sec, stats.tokens_per_second
    print(
        f"            {stats.prompt_tokens_count} prompt tokens, {stats.predicted_tokens_count} generated"
        f", first after {_number(first, ' s')}, {_number(rate, ' tokens/s')}, stopped by {stats.stop_reason}"
    )


def _number(value: float | None, unit: str) -> str:
    return "an unknown time" if value is None else f"{value:.2f}{unit}"


if __name__ == "__main__":
    sys.exit(main())
