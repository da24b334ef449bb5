"""From measurements to the table's rows: each figure, its limit, and whether it is met. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .imports import STATEMENTS

Figures = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Kind of measurement -> name -> figures: medians over the rounds."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure must be at most (or at least) so much; ``because`` says where the number comes from."""

    value: float
    because: str
    at_least: bool = False
    strict: bool = False

    def met(self, figure: float) -> bool:
        """Whether ``figure`` keeps it."""
        if self.at_least:
            return figure >= self.value
        return figure < self.value if self.strict else figure <= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. A figure of ``None`` could not be measured here."""

    what: str
    figure: float | None
    unit: str
    limits: tuple[Limit, ...]
    beside: str = ""

    @property
    def met(self) -> bool | None:
        """Whether every limit is kept."""
        return None if self.figure is None else all(limit.met(self.figure) for limit in self.limits)


def rows(figures: Figures) -> list[Row]:
    """All rows for which there are measurements."""
    made: list[Row] = []
    for build in (_tokens, _growth, _first, _calls, _concurrency, _embeddings, _imports, _soak, _cache):
        made += build(figures)
    return made


def _tokens(figures: Figures) -> Iterator[Row]:
    cpu = {name: values["cpu_us"] for name, values in figures.get("stream", {}).items()}
    for way, share, of_sdk in (("sync", 1.5, 20), ("async", 1.6, 6)):
        bare, sdk = cpu.get(f"bare {way}"), cpu.get(f"official SDK {way}")
        if bare is None or sdk is None or f"client {way}" not in cpu:
            continue
        limits = (Limit(share * bare, f"{share} × bare"), Limit(sdk / of_sdk, f"official SDK / {of_sdk}"))
        name = ("Async" if way == "async" else "") + "Client.respond_stream"
        beside = f"bare {bare:.1f}, official SDK {sdk:.1f}"
        yield Row(f"CPU per token, `{name}`", cpu[f"client {way}"], "µs", limits, beside)
    yield from _framework_tokens(cpu, "LangChain alone", "ChatLMStudio", 1.5, ("ChatOllama", "ChatOpenAI"))
    peers = ("Ollama (LlamaIndex)", "llama-index-llms-lmstudio")
    yield from _framework_tokens(cpu, "LlamaIndex alone", "LMStudio", 1.6, peers)


_METHODS = {
    ("ChatLMStudio", "sync"): "ChatLMStudio.stream",
    ("ChatLMStudio", "async"): "ChatLMStudio.astream",
    ("LMStudio", "sync"): "LMStudio.stream_chat",
    ("LMStudio", "async"): "LMStudio.astream_chat",
}


def _framework_tokens(
    cpu: Mapping[str, float], alone: str, ours: str, share: float, peers: tuple[str, ...]
) -> Iterator[Row]:
    for way in ("sync", "async"):
        names = [f"{name} {way}" for name in ("bare", alone, ours, *peers)]
        if any(name not in cpu for name in names):
            continue
        bare, own, figure, *others = (cpu[name] for name in names)
        limits = [Limit(own + share * bare, f"{alone} + {share} × bare")]
        for peer, value in zip(peers, others, strict=True):
            sixth = peer == "ChatOpenAI"
            limits.append(Limit(value / 6 if sixth else value, f"{peer} / 6" if sixth else peer, strict=not sixth))
        beside = ", ".join(f"{name} {value:.1f}" for name, value in zip((alone, *peers), (own, *others), strict=True))
        yield Row(f"CPU per token, `{_METHODS[ours, way]}`", figure, "µs", tuple(limits), beside)


# Whose growth has no limit, but explains that of another.
_ALONE = {"client": "bare", "ChatLMStudio": "LangChain alone", "LMStudio": "LlamaIndex alone"}


def _growth(figures: Figures) -> Iterator[Row]:
    short, long = figures.get("stream", {}), figures.get("long stream", {})
    for name, values in long.items():
        ours, _, way = name.rpartition(" ")
        if name not in short or ours not in _ALONE:
            continue
        base = short[name]["cpu_us"]
        alone = f"{_ALONE[ours]} {way}"
        limit = Limit(1.3 * base, f"1.3 × that at {short[name]['tokens']:,} ({base:.1f})")
        if ours != "client" and alone in long and alone in short:
            # Chunks share nothing, so the garbage collector has as many to visit as in the framework alone.
            growth = max(1.3, long[alone]["cpu_us"] / short[alone]["cpu_us"])
            limit = Limit(growth * base, f"{growth:.2f} (growth of {_ALONE[ours]}, at least 1.3) × {base:.1f}")
        beside = f"{alone}: {short[alone]['cpu_us']:.1f} → {long[alone]['cpu_us']:.1f}" if alone in long else ""
        yield Row(f"CPU per token at {values['tokens']:,} tokens, {name}", values["cpu_us"], "µs", (limit,), beside)


def _first(figures: Figures) -> Iterator[Row]:
    first = {name: values["first_ms"] for name, values in figures.get("first token", {}).items()}
    peers = {
        "client": ("official SDK",),
        "ChatLMStudio": ("ChatOllama", "ChatOpenAI"),
        "LMStudio": ("Ollama (LlamaIndex)", "llama-index-llms-lmstudio"),
    }
    for ours, theirs in peers.items():
        for way in ("sync", "async"):
            if f"{ours} {way}" not in first or f"bare {way}" not in first:
                continue
            bare = first[f"bare {way}"]
            others = {peer: first[f"{peer} {way}"] for peer in theirs if f"{peer} {way}" in first}
            limits = [Limit(bare + 1, "bare + 1 ms"), *(Limit(v, peer, strict=True) for peer, v in others.items())]
            beside = ", ".join(f"{peer} {value:.2f}" for peer, value in {"bare": bare, **others}.items())
            yield Row(f"first token, warm, {ours} {way}", first[f"{ours} {way}"], "ms", tuple(limits), beside)


_CALL_PEERS = {
    "client": ("official SDK",),
    "ChatLMStudio": ("ChatOllama", "ChatOpenAI"),
    "LMStudio": ("Ollama (LlamaIndex)",),
}


def _calls(figures: Figures) -> Iterator[Row]:
    for kind in ("messages", "tools"):
        found = figures.get(kind, {})
        for ours, theirs in _CALL_PEERS.items():
            peers = [peer for peer in theirs if peer in found]
            if ours not in found or not peers:
                continue
            sizes = sorted(int(size) for size in found[ours] if size.isdigit())
            for at, size in enumerate(sizes):
                figure = found[ours][str(size)]
                others = {peer: found[peer][str(size)] for peer in peers}
                fastest = min(others, key=others.__getitem__)
                limits = [Limit(1.2 * others[fastest], f"1.2 × {fastest}")]
                if at:
                    before = found[ours][str(sizes[at - 1])]
                    limits.append(Limit(1.2 * before * size / sizes[at - 1], f"1.2 × linear growth from {before:.2f}"))
                beside = ", ".join(f"{peer} {value:.2f}" for peer, value in others.items())
                yield Row(f"CPU per call with {size:,} {kind}, {ours}", figure, "ms", tuple(limits), beside)


def _concurrency(figures: Figures) -> Iterator[Row]:
    for name, values in figures.get("concurrency", {}).items():
        many = f"{values['size']:,} predictions at once, {name}"
        single = values["single_per_second"]
        yield Row(
            f"{many}: tokens per second",
            values["per_second"],
            "/s",
            (Limit(0.6 * single, f"0.6 × one stream's ({single:,.0f})", at_least=True),),
        )
        memory = values["per_open_kb"]
        yield Row(f"{many}: memory for each open one", memory, "KB", (Limit(25, "25 KB"),))
        yield Row(f"{many}: right texts", values["right"], "", (Limit(values["size"], "all of them", at_least=True),))


def _embeddings(figures: Figures) -> Iterator[Row]:
    found = figures.get("embeddings", {})
    if "bare" not in found:
        return
    for name, values in found.items():
        if name == "bare":
            continue
        for key, unit in (("cpu_ms", "CPU"), ("wall_ms", "wall time")):
            bare = found["bare"][key]
            limit = Limit(1.5 * bare, f"1.5 × bare ({bare:.0f})")
            yield Row(f"{values['texts']:,} short texts embedded, {name}: {unit}", values[key], "ms", (limit,))


def _imports(figures: Figures) -> Iterator[Row]:
    found = {name: values["ms"] for name, values in figures.get("imports", {}).items()}
    for name, base, more in (
        ("lmstudio_integrations", "websockets and pydantic", 60),
        ("lmstudio_integrations.langchain", "langchain_core", 100),
        ("ChatLMStudio", "langchain_core", 100),
        ("lmstudio_integrations.llama_index", "llama_index.core", 100),
        ("LMStudio", "llama_index.core", 100),
    ):
        if name in found and base in found:
            limit = Limit(found[base] + more, f"{base} ({found[base]:.0f}) + {more} ms")
            yield Row(f"`{STATEMENTS[name]}`", found[name], "ms", (limit,))


# What the allocator and the caches of the standard library may still take after the first tenth.
_FLAT_KB = 1024


def _soak(figures: Figures) -> Iterator[Row]:
    for name, values in figures.get("soak", {}).items():
        beside = "" if values["early_mb"] is None else f"{values['early_mb']:.1f} MB -> {values['late_mb']:.1f} MB"
        limit = Limit(_FLAT_KB, "flat: 1 MB after the first tenth")
        what = f"memory after {values['predictions']:,} predictions, {name}: growth"
        yield Row(what, values["growth_kb"], "KB", (limit,), beside)


def _cache(figures: Figures) -> Iterator[Row]:
    for name, values in figures.get("prompt cache", {}).items():
        least = values.get("least")
        limit = Limit(95, "95 % of the previous prompt, in every request", at_least=True)
        beside = f"{len(values['calls'])} requests in {values['turns']} turns" if "calls" in values else "no real model"
        what = f"prompt tokens from the cache, {name} agent: the least of a conversation"
        yield Row(what, None if least is None else least * 100, "%", (limit,), beside)
