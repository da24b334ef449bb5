"""The picture: ``python -m benchmarks.picture RESULTS.json PICTURE.png``. Needs matplotlib."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

_PANELS = (
    ("the client", ("bare", "client", "official SDK"), "client"),
    ("LangChain", ("LangChain alone", "ChatLMStudio", "ChatOllama", "ChatOpenAI"), "ChatLMStudio"),
    (
        "LlamaIndex",
        ("LlamaIndex alone", "LMStudio", "Ollama (LlamaIndex)", "llama-index-llms-lmstudio"),
        "LMStudio",
    ),
)
_LABELS = {
    "bare": "websockets + JSON\n(the floor)",
    "client": "lmstudio-integrations",
    "ChatLMStudio": "ChatLMStudio",
    "LMStudio": "LMStudio (ours)",
    "Ollama (LlamaIndex)": "Ollama",
    "LangChain alone": "LangChain alone\n(tokens for free)",
    "LlamaIndex alone": "LlamaIndex alone\n(tokens for free)",
}
_OURS, _FLOOR, _PEER = "#1f6f8b", "#b9c3c9", "#d9a25f"


def draw(results: dict[str, Any], target: Path) -> None:
    """Microseconds of CPU per streamed token: a panel for each field, a pair of bars for each contender."""
    matplotlib = import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = import_module("matplotlib.pyplot")
    stream = results["figures"]["stream"]
    figure, axes = pyplot.subplots(1, len(_PANELS), figsize=(13, 3.9), constrained_layout=True)
    for axis, (title, names, ours) in zip(axes, _PANELS, strict=True):
        _panel(axis, title, [name for name in names if f"{name} sync" in stream], ours, stream)
    about = results["about"]
    count = next(iter(stream.values()))["tokens"]
    figure.suptitle(f"CPU per streamed token, µs (logarithmic): less is better; {count:,} tokens", fontsize=12)
    figure.supxlabel(f"{about['date']}, medians of {about['rounds']} rounds, {about['machine']}", fontsize=8)
    figure.savefig(target, dpi=150, metadata={"Software": None})
    pyplot.close(figure)


def _panel(axis: Any, title: str, names: list[str], ours: str, stream: dict[str, Any]) -> None:
    for place, name in enumerate(reversed(names)):
        color = _OURS if name == ours else _FLOOR if name == "bare" or name.endswith("alone") else _PEER
        for way, shift, alpha in (("sync", 0.2, 1.0), ("async", -0.2, 0.6)):
            value = stream.get(f"{name} {way}", {}).get("cpu_us")
            if value is not None:
                axis.barh(place + shift, value, height=0.36, color=color, alpha=alpha)
                axis.text(value * 1.05, place + shift, f"{value:.1f} {way}", va="center", fontsize=8)
    axis.set_yticks(range(len(names)), [_LABELS.get(name, name) for name in reversed(names)], fontsize=8)
    axis.set_xscale("log")
    axis.set_xlim(1, 6 * max(stream[f"{name} sync"]["cpu_us"] for name in names))
    axis.set_title(title, fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="x", labelsize=8)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
