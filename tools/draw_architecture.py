"""Draw the pictures of ``docs/architecture.md``: the layers with their imports, and the way of a request and a token.

``python tools/draw_architecture.py`` writes the files, ``--check`` exits with 1 if they are not up to date. The arrows
are those of the imports in the source: an import between two layers for which no arrow is planned here is an error, and
so is an arrow without an import, or a module that does not exist.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tools.generated_files import write_or_check  # noqa: E402  # a script has no other way to its neighbour
from tools.package_imports import PACKAGE, imports_of, layer_of  # noqa: E402

IMAGES = ROOT / "docs" / "images"

Box = tuple[int, int, int, int, str]
Line = tuple[tuple[int, int], ...]

_WIDTH = 960
# x, y, width, height, color of each layer; what stands in it besides its name.
BOXES: dict[str, Box] = {
    "langchain": (30, 20, 290, 84, "#dbeafe"),
    "llama_index": (350, 20, 290, 84, "#dbeafe"),
    "compat": (150, 144, 370, 76, "#e0e7ff"),
    "client": (30, 262, 610, 176, "#dcfce7"),
    "emulator": (690, 262, 240, 176, "#fef3c7"),
    "protocol": (30, 484, 900, 66, "#fce7f3"),
    "errors": (30, 586, 900, 62, "#f1f5f9"),
}
TEXTS: dict[str, list[str]] = {
    "langchain": ["the classes for LangChain:", "convert messages, tools, chunks, errors"],
    "llama_index": ["the classes for LlamaIndex:", "convert messages, tools, responses"],
    "compat": ["one request from settings and keywords;", "the names that other integrations have"],
    "client": ["histories, requests, events, results: blocking and asynchronous"],
    "emulator": [
        "a server that speaks LM Studio's",
        "protocol, for tests:",
        "",
        "wire: sockets, checks, endpoints",
        "backends: rules, or a real model",
    ],
    "protocol": ["messages, settings, encoding: data without input or output or state"],
    "errors": ["every exception; imported by all other layers"],
}
TRANSPORT: Box = (50, 330, 570, 92, "#bbf7d0")
TRANSPORT_TEXTS = [
    "all input and output, on one thread: sockets, connection pool,",
    "loading, uploads, time limits, retries",
]
ARROWS: dict[tuple[str, str], Line] = {
    ("langchain", "compat"): ((240, 104), (240, 144)),
    ("llama_index", "compat"): ((430, 104), (430, 144)),
    ("langchain", "client"): ((90, 104), (90, 262)),
    ("llama_index", "client"): ((580, 104), (580, 262)),
    ("compat", "client"): ((335, 220), (335, 262)),
    ("client", "protocol"): ((335, 438), (335, 484)),
    ("emulator", "protocol"): ((810, 438), (810, 484)),
    ("protocol", "errors"): ((480, 550), (480, 586)),
}
# Imported for the version number, for loading on demand and for halves of characters; no layers.
_SMALL = {"_version", "_lazy", "_surrogates"}

# The second picture: what happens on the caller's thread, on the I/O thread, and at the server.
_LANES = (("your thread", 30, 300), ("I/O thread", 360, 300), ("LM Studio", 690, 240))
# Each step: lane, row, module or None, text.
STEPS: tuple[tuple[int, int, str | None, str], ...] = (
    (0, 0, "langchain/_messages.py", "messages to a history (or llama_index)"),
    (0, 1, "compat/prediction_request.py", "one request from settings and keywords"),
    (0, 2, "client/requests.py", "check and encode"),
    (1, 2, "client/transport/executor.py", "connect, load, upload, retry"),
    (1, 3, "client/transport/multiplexer.py", "a channel on the socket"),
    (2, 3, None, "prompt, then tokens"),
    (1, 4, "client/transport/websocket.py", "a message"),
    (1, 5, "client/transport/multiplexer.py", "its channel"),
    (0, 5, "client/transport/mailbox.py", "the I/O thread never waits for it"),
    (0, 6, "client/prediction.py", "event: text, tool call, progress"),
    (0, 7, "langchain/_chunks.py", "chunk (or response of llama_index)"),
)
_BACK = 6  # the first step of a token's way


def real_imports() -> set[tuple[str, str]]:
    """Pairs of layers of which the first imports from the second. Public names of the package count as the client's."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        layer = layer_of(path)
        if layer not in BOXES:
            continue
        for _, name in imports_of(path):
            head, _, rest = name.partition(".")
            target = rest.partition(".")[0]
            if head == PACKAGE.name and target not in {layer, *_SMALL}:
                found.add((layer, target if target in BOXES else "client"))
    return found


def check(imports: set[tuple[str, str]]) -> None:
    """Raise ``ValueError`` unless the picture shows these imports and no other, and every module in it exists."""
    without = {layer for layer in BOXES if layer != "errors" and (layer, "errors") not in imports}
    shown = set(ARROWS) | {(layer, "errors") for layer in BOXES if layer != "errors"}
    missing = sorted(imports - shown)
    stale = sorted(set(ARROWS) - imports)
    gone = sorted({module for _, _, module, _ in STEPS if module and not (PACKAGE / module).is_file()})
    if missing or stale or without or gone:
        raise ValueError(
            f"the drawing is not the source: imports without an arrow {missing}, arrows without an import {stale}, "
            f"layers that do not import errors {sorted(without)}, modules that do not exist {gone}: change the tables "
            "of tools/draw_architecture.py"
        )


def _text(x: int, y: int, text: str, style: str = "note") -> str:
    return f'<text x="{x}" y="{y}" class="{style}">{escape(text)}</text>'


def _box(box: Box, name: str, lines: Sequence[str]) -> list[str]:
    x, y, width, height, color = box
    drawn = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{color}"/>',
        _text(x + 16, y + 26, name, "name"),
    ]
    return drawn + [_text(x + 16, y + 47 + 18 * number, line) for number, line in enumerate(lines)]


def _arrow(points: Line, style: str = "way") -> str:
    way = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{way}" class="{style}" marker-end="url(#{style})"/>'


def _svg(height: int, title: str, body: Sequence[str]) -> str:
    markers = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" orient="auto" '
        f'markerUnits="userSpaceOnUse"><path d="M0,0 L8,4 L0,8 z" fill="{color}"/></marker>'
        for name, color in (("way", "#334155"), ("back", "#b45309"))
    )
    style = (
        "text{font-family:system-ui,sans-serif;fill:#0f172a}.name{font:600 15px ui-monospace,monospace}"
        ".note{font-size:12.5px}"
        ".lane{font-size:15px;font-weight:600;text-anchor:middle}"
        "rect{stroke:#64748b}polyline{fill:none;stroke-width:1.6}.way{stroke:#334155}.back{stroke:#b45309}"
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{style}</style><defs>{markers}</defs>",
        f'<rect width="{_WIDTH}" height="{height}" rx="10" fill="#ffffff" style="stroke:none"/>',
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def layers() -> str:
    """The picture of the layers."""
    check(real_imports())
    body = []
    for name, box in BOXES.items():
        body += _box(box, name, TEXTS[name])
    body += _box(TRANSPORT, "client.transport", TRANSPORT_TEXTS)
    body += [_arrow(points) for points in ARROWS.values()]
    return _svg(668, "The layers of the package, and which imports from which", body)


def _step_box(step: tuple[int, int, str | None, str]) -> Box:
    lane, row, _, _ = step
    _, x, width = _LANES[lane]
    color = ("#dbeafe", "#bbf7d0", "#fce7f3")[lane]
    return (x + 10, 66 + row * 80, width - 20, 58, color)


def _between(first: Box, second: Box) -> Line:
    """From the edge of one box to the edge of the next: sideways in a row, down in a lane, round a corner elsewhere."""
    x, y, width, height, _ = first
    x2, y2, width2, height2, _ = second
    middle = y + height // 2
    if y == y2:
        return ((x + width, middle), (x2, middle)) if x < x2 else ((x, middle), (x2 + width2, middle))
    if x == x2:
        return ((x + width // 2, y + height), (x + width // 2, y2))
    return ((x + width // 2, y + height), (x + width // 2, y2 + height2 // 2), (x2 + width2, y2 + height2 // 2))


def request_and_token() -> str:
    """The picture of the way of a request and of a token."""
    check(real_imports())
    height = 66 + 8 * 80 + 6
    body = []
    for name, x, width in _LANES:
        body.append(f'<rect x="{x}" y="16" width="{width}" height="{height - 32}" rx="8" fill="#f8fafc"/>')
        body.append(_text(x + width // 2, 44, name, "lane"))
    boxes = [_step_box(step) for step in STEPS]
    for box, (_, _, module, text) in zip(boxes, STEPS, strict=True):
        folder, _, file = (module or "").rpartition("/")
        where = file if not folder else f"{folder.rpartition('/')[2]}/{file}"
        body += _box(box, where, [text]) if module else _box(box, "the model", [text])
    for number, (first, second) in enumerate(pairwise(boxes), start=1):
        body.append(_arrow(_between(first, second), "back" if number >= _BACK else "way"))
    return _svg(height, "The way of a request to LM Studio, and of a token back", body)


def files() -> dict[Path, str]:
    """The files, and what belongs in them."""
    return {IMAGES / "architecture.svg": layers(), IMAGES / "request_and_token.svg": request_and_token()}


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare them."""
    return write_or_check(files(), "draw_architecture.py", __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
