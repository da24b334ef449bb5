"""Runs every call shape with the official SDK and with this package, and writes what came out as a page.

``python -m tests.sdk_api.comparison`` writes ``docs/migration_from_the_sdk.md``; the test compares it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.metadata
import logging
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import lmstudio

import lmstudio_integrations
from lmstudio_integrations.client import convenience
from lmstudio_integrations.client.sync import Client
from lmstudio_integrations.emulator import Emulator
from tests.sdk_api.call_shapes import SHAPES, STYLES, Shape

PAGE = Path(__file__).resolve().parents[2] / "docs" / "migration_from_the_sdk.md"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6364f8cf50"
    "0f000e0182015a347d6b0000000049454e44ae426082"
)
_WORDS = {
    "convenience": {
        "$LLM": "lms.llm",
        "$EMBEDDING": "lms.embedding_model",
        "$CLIENT_CLASS": "lms.Client",
        "$CLIENT": "lms.get_default_client()",
    },
    "scoped": {
        "$LLM": "client.llm.model",
        "$EMBEDDING": "client.embedding.model",
        "$CLIENT_CLASS": "lms.Client",
        "$CLIENT": "client",
    },
    "async": {
        "$LLM": "await client.llm.model",
        "$EMBEDDING": "await client.embedding.model",
        "$CLIENT_CLASS": "lms.AsyncClient",
        "$CLIENT": "client",
    },
}


@dataclass(frozen=True)
class Outcome:
    """What a shape came to: its value, or the error that it raised."""

    value: Any = None
    error: BaseException | None = None

    @property
    def runs(self) -> bool:
        """Whether it came to an end."""
        return self.error is None


def source(shape: Shape, style: str) -> str:
    """The code of a shape, as a function ``run`` for one style."""
    code = shape.code
    for word, replacement in _WORDS[style].items():
        code = code.replace(word, replacement)
    is_async = style == "async"
    code = code.replace("$CLOSE(stream)", "stream.close()")
    code = code.replace("$await ", "await " if is_async else "").replace("$async ", "async " if is_async else "")
    if style == "convenience":
        head, body = "def run(lms, server, HOST, PNG, PNG_PATH):", f"lms.configure_default_client(HOST)\n{code}"
    elif style == "scoped":
        head = "def run(lms, server, HOST, PNG, PNG_PATH):"
        body = f"with lms.Client(HOST) as client:\n{textwrap.indent(code, '    ')}"
    else:
        head = "async def run(lms, server, HOST, PNG, PNG_PATH):"
        body = f"async with lms.AsyncClient(HOST) as client:\n{textwrap.indent(code, '    ')}"
    return f"{head}\n{textwrap.indent(body, '    ')}\n    return value\n"


def outcome(package: ModuleType, shape: Shape, style: str) -> Outcome:
    """Run a shape once, against an emulator of its own."""
    names: dict[str, Any] = {}
    exec(compile(source(shape, style), shape.call, "exec"), names)  # the shapes are ours
    with Emulator(replies=shape.replies) as server, default_clients(server), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dot.png"
        path.write_bytes(PNG)
        host = server.url.removeprefix("ws://")
        try:
            made = names["run"](package, server, host, PNG, path)
            value = asyncio.run(made) if style == "async" else made
            return Outcome(_plain(value, host))
        except Exception as error:  # noqa: BLE001  # it is the outcome
            return Outcome(error=error)


@contextlib.contextmanager
def default_clients(server: Emulator) -> Iterator[None]:
    """Default clients and time limits as in a new process; the emulator's port is the only usual one."""
    sdk: Any = lmstudio.sync_api
    addresses: Any = lmstudio.json_api.ClientBase
    discovery: Any = importlib.import_module("lmstudio_integrations.client.transport.discovery")
    ports, limit = (discovery.DEFAULT_PORTS, addresses._DEFAULT_API_PORTS), Client._default_timeout
    their_limit = sdk.get_sync_api_timeout()
    discovery.DEFAULT_PORTS = addresses._DEFAULT_API_PORTS = (server.port,)
    logging.disable(logging.CRITICAL)  # the SDK logs errors of callbacks
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        sdk._reset_default_client()
        sdk.set_sync_api_timeout(their_limit)
        discovery.DEFAULT_PORTS, addresses._DEFAULT_API_PORTS = ports
        Client._default_timeout = limit
        convenience._configured.clear()


def _plain(value: Any, host: str) -> Any:
    """Values of both packages in one form: a tuple is a list, and the emulator's address is always the same."""
    if isinstance(value, (list, tuple)):
        return [_plain(item, host) for item in value]
    return value.replace(host, "HOST") if isinstance(value, str) else value


@dataclass(frozen=True)
class Row:
    """A shape and its outcomes by style: the SDK's, ours."""

    shape: Shape
    outcomes: dict[str, tuple[Outcome, Outcome]]

    @property
    def verdict(self) -> str:
        """Is it "same", "different", "only here", "only the SDK" or "neither"."""
        theirs = all(pair[0].runs for pair in self.outcomes.values())
        ours = all(pair[1].runs for pair in self.outcomes.values())
        if theirs and ours:
            return "same" if all(one.value == two.value for one, two in self.outcomes.values()) else "different"
        return "only here" if ours else "only the SDK" if theirs else "neither"

    def details(self) -> str:
        """Values and errors, for a failing test."""
        return "\n".join(
            f"{style}: SDK {one.value!r} {one.error!r}; here {two.value!r} {two.error!r}"
            for style, (one, two) in self.outcomes.items()
        )


def compare(shape: Shape) -> Row:
    """Run a shape in all its styles with both packages."""
    return Row(
        shape,
        {
            style: (outcome(lmstudio, shape, style), outcome(lmstudio_integrations, shape, style))
            for style in shape.styles
        },
    )


_DOCUMENTATION = (
    "LM Studio's own Python pages, run as they are by `python -m tests.sdk_api.documentation FOLDER` (pages of 29 April 2026,",
    "142 snippets): 119 run with both, 5 only here, none only with the SDK, and 18 with neither, because they have syntax",
    "errors, lack an `await`, or use what no page defines.",
)
_COUNTS = {"same": "Same", "different": "Different", "only here": "Only here", "only the SDK": "Only in the SDK"}


def page(rows: list[Row]) -> str:
    """The page: a table for each topic."""
    version = importlib.metadata.version("lmstudio")
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in _COUNTS}
    lines = [
        "# From the official SDK to this package",
        "",
        "```python",
        "import lmstudio_integrations as lms  # in place of: import lmstudio as lms",
        "```",
        "",
        f"Each line was run with `lmstudio` {version} and with this package against the emulator, in the ways that the",
        'documentation shows: convenience (`lms.llm()`), scoped (`with lms.Client() as client`) and async. "Same" means that',
        "both ran and came to the same value. This page is written by `python -m tests.sdk_api.comparison`.",
        "",
        ". ".join(f"{words}: {counts[verdict]}" for verdict, words in _COUNTS.items()) + ".",
        "",
        *_DOCUMENTATION,
    ]
    for topic in dict.fromkeys(row.shape.topic for row in rows):
        lines += ["", f"## {topic}", "", "| In the SDK | Here | Ways | |", "|---|---|---|---|"]
        lines += [line(row) for row in rows if row.shape.topic == topic]
    return "\n".join([*lines, ""])


def line(row: Row) -> str:
    """A shape's line in its table."""
    shape = row.shape
    here = shape.here or shape.call
    verdict = row.verdict if not shape.note else f"{row.verdict}. {shape.note}"
    ways = "all" if shape.styles == STYLES else ", ".join(shape.styles)
    return f"| `{shape.call}` | `{here}` | {ways} | {verdict} |"


def main() -> int:
    """Write the page; print what is not the same."""
    rows = [compare(shape) for shape in SHAPES]
    for row in rows:
        if row.verdict != "same":
            sys.stdout.write(f"{row.verdict}: {row.shape.call}\n{textwrap.indent(row.details(), '    ')}\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
