"""The table says what was measured, which limit holds, and whether it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.__main__ import load_words, median, speed_words
from benchmarks.plan import KINDS, Sizes, tasks
from benchmarks.prompt_cache import shares
from benchmarks.rows import Limit, Row, rows
from benchmarks.table import markdown

_CPU = {
    "bare": 5.0,
    "client": 4.0,
    "official SDK": 100.0,
    "LangChain alone": 9.0,
    "ChatLMStudio": 13.0,
    "ChatOllama": 20.0,
    "ChatOpenAI": 120.0,
    "LlamaIndex alone": 11.0,
    "LMStudio": 14.0,
    "Ollama (LlamaIndex)": 25.0,
    "llama-index-llms-lmstudio": 30.0,
}


def _stream(cpu: dict[str, float], tokens: int = 2000, first: float = 0.5) -> dict[str, Any]:
    return {
        f"{name} {way}": {"name": f"{name} {way}", "tokens": tokens, "cpu_us": value, "first_ms": first}
        for name, value in cpu.items()
        for way in ("sync", "async")
    }


def _figures() -> dict[str, Any]:
    many = {"size": 1000, "tokens": 100, "right": 1000, "per_open_kb": 9.0, "per_second": 90, "single_per_second": 100}
    return {
        "stream": _stream(_CPU),
        "first token": _stream(_CPU, 10),
        "messages": {
            "client": {"name": "client", "40": 0.5, "400": 2.0},
            "official SDK": {"name": "official SDK", "40": 1.0, "400": 3.0},
        },
        "tools": {
            "ChatLMStudio": {"name": "ChatLMStudio", "10": 1.0},
            "ChatOllama": {"name": "ChatOllama", "10": 2.0},
            "ChatOpenAI": {"name": "ChatOpenAI", "10": 4.0},
        },
        "long stream": _stream({"client": 4.0, "ChatLMStudio": 20.0, "LangChain alone": 18.0}, 20_000),
        "concurrency": {"client sync": many},
        "embeddings": {
            name: {"texts": 1000, "wall_ms": wall, "cpu_ms": 70.0}
            for name, wall in (("bare", 90.0), ("client sync", 99.0))
        },
        "imports": {
            "websockets and pydantic": {"ms": 90.0},
            "lmstudio_integrations": {"ms": 140.0},
            "langchain_core": {"ms": 500.0},
            "lmstudio_integrations.langchain": {"ms": 620.0},
            "ChatLMStudio": {"ms": 640.0},
            "llama_index.core": {"ms": 800.0},
            "lmstudio_integrations.llama_index": {"ms": 810.0},
            "LMStudio": {"ms": 850.0},
        },
        "soak": {"client sync": {"predictions": 20_000, "early_mb": 40.0, "late_mb": 40.1, "growth_kb": 100}},
        "prompt cache": {"LangChain": {"turns": 10, "calls": shares([(100, 0), (150, 90)]), "least": 0.9}},
    }


def _found(what: str, figures: dict[str, Any] | None = None) -> Row:
    return next(row for row in rows(figures or _figures()) if what in row.what)


@pytest.mark.parametrize(
    ("what", "limits"),
    [
        ("`Client.respond_stream`", [7.5, 5.0]),
        ("`AsyncClient.respond_stream`", [8.0, 100 / 6]),
        ("`ChatLMStudio.stream`", [16.5, 20.0, 20.0]),
        ("`ChatLMStudio.astream`", [16.5, 20.0, 20.0]),
        ("`LMStudio.stream_chat`", [19.0, 25.0, 30.0]),
        ("`LMStudio.astream_chat`", [19.0, 25.0, 30.0]),
        ("20,000 tokens, client sync", [1.3 * 4]),
        ("20,000 tokens, ChatLMStudio sync", [2.0 * 13]),
        ("first token, warm, client sync", [1.5, 0.5]),
        ("with 40 messages, client", [1.2]),
        ("with 400 messages, client", [3.6, 6.0]),
        ("with 10 tools, ChatLMStudio", [2.4]),
        ("tokens per second", [60]),
        ("memory for each open one", [25]),
        ("right texts", [1000]),
        ("client sync: CPU", [105.0]),
        ("client sync: wall time", [135.0]),
        ("`import lmstudio_integrations`", [150.0]),
        ("`import lmstudio_integrations.langchain`", [600.0]),
        ("`from lmstudio_integrations.langchain import ChatLMStudio`", [600.0]),
        ("`import lmstudio_integrations.llama_index`", [900.0]),
        ("`from lmstudio_integrations.llama_index import LMStudio`", [900.0]),
        ("memory after 20,000 predictions", [1024]),
        ("from the cache, LangChain", [95]),
    ],
)
def test_limits_use_figures_of_the_same_run(what: str, limits: list[float]) -> None:
    assert [limit.value for limit in _found(what).limits] == pytest.approx(limits)


def test_figure_at_its_limit_is_met() -> None:
    assert Row("x", 5.0, "µs", (Limit(5.0, "five"),)).met is True


def test_figure_at_a_strict_limit_is_missed() -> None:
    assert Row("x", 5.0, "µs", (Limit(5.0, "five", strict=True),)).met is False


def test_rate_below_its_limit_is_missed() -> None:
    assert Row("x", 5.0, "/s", (Limit(6.0, "six", at_least=True),)).met is False


def test_one_missed_limit_of_two_is_a_miss() -> None:
    assert Row("x", 5.0, "µs", (Limit(6.0, "six"), Limit(4.0, "four"))).met is False


def test_missing_figure_is_neither_met_nor_missed() -> None:
    figures = _figures()
    figures["concurrency"]["client sync"]["per_open_kb"] = None
    assert _found("memory for each open one", figures).met is None


def test_page_lists_every_missed_limit_below_the_table() -> None:
    about = {
        "date": "2026-01-01",
        "rounds": 5,
        "machine": "a machine",
        "load": "",
        "speed": "",
        "versions": {"websockets": "1"},
    }
    page = markdown(rows(_figures()), about, _figures()["prompt cache"])
    missed = page.partition("Missed: ")[2].partition("\n")[0]
    assert "`import lmstudio_integrations.langchain`" in missed
    assert "LangChain agent" in missed
    assert "`import lmstudio_integrations`;" not in missed
    assert page.count("| **no** |") == missed.count(";") + 1


def test_page_shows_every_request_of_the_conversation() -> None:
    about = {"date": "2026-01-01", "rounds": 5, "machine": "a machine", "load": "", "speed": "", "versions": {}}
    page = markdown(rows(_figures()), about, _figures()["prompt cache"])
    assert "| 100 | 0 | – |\n| 150 | 90 | 90.0% |" in page


def test_request_is_compared_with_the_previous_prompt() -> None:
    assert [call["share"] for call in shares([(100, 0), (150, 100), (200, 120)])] == [None, 1.0, 0.8]


def test_rounds_give_medians_and_the_worst_count_of_right_texts() -> None:
    rounds = [{"name": "x", "cpu_us": value, "right": right} for value, right in ((3, 10), (1, 9), (2, 10))]
    assert median(rounds) == {"name": "x", "cpu_us": 2, "right": 9}


def test_median_of_integers_is_an_integer_if_possible() -> None:
    assert repr(median([{"texts": 3, "ms": 1.5}] * 2)) == "{'texts': 3, 'ms': 1.5}"


def test_figure_missing_in_one_round_is_missing() -> None:
    assert median([{"ms": None}, {"ms": None}]) == {"ms": None}


def test_page_says_how_much_the_speed_of_the_machine_varied() -> None:
    measured: dict[str, Any] = {
        "stream": {"x": [{"probe_ms": 1.1}, {"probe_ms": 2.2}]},
        "soak": {"x": [{"growth_kb": 1}]},
    }
    about = {"date": "2026-01-01", "rounds": 2, "machine": "a machine", "load": "", "versions": {}}
    page = markdown([], about | {"speed": speed_words(measured)}, {})
    assert "in this run it took 1.10 to 2.20 ms, the median was 1.65 ms" in page


def test_plan_has_every_kind_of_measurement() -> None:
    assert {kind for task in tasks(Sizes()) for kind in task.kinds} == set(KINDS)


def test_plan_of_one_kind_has_only_that_kind() -> None:
    assert {kind for task in tasks(Sizes(), ("long stream",)) for kind in task.kinds} == {"long stream"}


def test_plan_without_peers_uses_none_of_their_environments() -> None:
    assert {task.environment for task in tasks(Sizes(), peers=False)} == {"ours"}


@pytest.mark.parametrize(("load", "noisy"), [((0.3, 1.6), False), ((6.0, 1.0), True), ((0.1, 5.0), True)])
def test_busy_machine_is_reported(load: tuple[float, float], noisy: bool) -> None:
    assert ("noisy" in load_words(load)) is noisy
