"""Ray Data on a local cluster, with two emulators as hosts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray", reason="needs the dependency group `ray`")
pyarrow = pytest.importorskip("pyarrow", reason="needs the dependency group `ray`")

from lmstudio_integrations.emulator import EmulatedModel, Emulator, PredictionRequest, Reply  # noqa: E402
from lmstudio_integrations.errors import LMStudioServerNotFoundError  # noqa: E402
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings  # noqa: E402
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding  # noqa: E402
from tests.readme.snippets import snippets  # noqa: E402

ROOT = Path(__file__).parents[2]
TOKEN = f"sk-lm-{'a' * 8}:{'b' * 20}"

pytestmark = [
    pytest.mark.filterwarnings("default"),  # of Ray's own modules
    # Each of Ray's workers is a process that imports Ray, Arrow and a framework: a minute and more on a busy machine.
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    """The page as a module, and a cluster with the token in its environment, as ``ray start`` would have it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LMSTUDIO_API_TOKEN", TOKEN)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'cookbook'}")
        patch.syspath_prepend(str(ROOT / "cookbook"))
        import many_machines

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.wait_for_min_actors_s = 240  # else the first worker may have done all before the second has started
        try:
            yield many_machines
        finally:
            ray.shutdown()


def _echo(request: PredictionRequest) -> Reply:
    return Reply(f"re: {request.last_user_text}", pace=0.002)


def _slow_echo(request: PredictionRequest) -> Reply:
    return Reply(f"re: {request.last_user_text}", pace=0.04)


@contextmanager
def _hosts(count: int = 2, replies: Any = _echo, last: Any = None) -> Iterator[list[Emulator]]:
    """Emulators with one function for their replies; ``last``: another one for the last of them."""
    functions = [replies] * (count - 1) + [last or replies]
    servers = [Emulator(api_token=TOKEN, replies=function) for function in functions]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()


def _predictions(server: Emulator) -> int:
    return sum(frame.message.get("endpoint") == "predict" for frame in server.requests)


def _worker(machines: Any, hosts: list[str], model: Any, **options: Any) -> Any:
    """A worker as Ray makes them, in this process."""
    return machines.Worker(model, hosts, lambda: 0, **options)


def _table(*texts: str) -> Any:
    return pyarrow.table({"text": list(texts)})


def test_many_machines_answers_prompts_in_order_on_both_hosts(machines: Any) -> None:
    prompts = [f"Question {number}" for number in range(60)]
    with _hosts(last=_slow_echo) as servers:  # later rows are there before earlier ones
        hosts = [server.url for server in servers]
        rows = machines.spread(
            machines.rows_of(prompts, 5), LMStudio(model="emulator/chat"), hosts, batch_size=5, at_once=3
        ).take_all()
        counts = [_predictions(server) for server in servers]
        highest = [_highest_at_once(server) for server in servers]
    assert [row["answer"] for row in rows] == [f"re: {prompt}" for prompt in prompts]
    assert [row["id"] for row in rows] == list(range(60))
    assert {row["host"] for row in rows} == set(hosts)
    assert all(row["error"] is None and row["prompt_tokens"] > 0 and row["generated_tokens"] > 0 for row in rows)
    assert sum(counts) == 60
    assert min(counts) >= 5
    assert highest == [3, 3]


def _highest_at_once(server: Emulator) -> int:
    running = highest = 0
    for frame in sorted((*server.requests, *server.sent), key=lambda frame: frame.order):
        if frame.message.get("endpoint") == "predict":
            running += 1
            highest = max(highest, running)
        elif (frame.message.get("message") or {}).get("type") == "success":
            running -= 1
    return highest


def test_many_machines_embeds_in_order(machines: Any) -> None:
    texts = [f"A sentence about {number} ships" for number in range(40)]
    with _hosts() as servers:
        model = LMStudioEmbedding(model="emulator/embedding")
        rows = machines.spread(machines.rows_of(texts, 5), model, [server.url for server in servers]).take_all()
        alone = LMStudioEmbeddings(model="emulator/embedding", base_url=servers[0].url).embed_documents(texts)
    assert [row["vector"] for row in rows] == [pytest.approx(vector) for vector in alone]
    assert {row["host"] for row in rows} == {server.url for server in servers}
    assert all(row["error"] is None for row in rows)


def test_many_machines_goes_on_if_a_host_dies_and_uses_it_again_if_it_is_back(machines: Any) -> None:
    prompts = [f"Question {number}" for number in range(120)]
    with _hosts() as (staying, leaving):
        model = ChatLMStudio(model="emulator/chat")
        data = machines.spread(machines.rows_of(prompts, 2), model, [staying.url, leaving.url], batch_size=2, at_once=2)
        rows = iter(data.iter_rows())
        seen = [next(rows) for _ in range(8)]
        leaving.wait_until(lambda: _predictions(leaving) >= 4)
        port = leaving.port
        leaving.stop()
        at_death = _predictions(staying)
        staying.wait_until(lambda: _predictions(staying) >= at_death + 8, 30)
        with Emulator(api_token=TOKEN, replies=_echo, port=port) as back:
            seen += rows
            returned = _predictions(back)
    assert [row["answer"] for row in seen] == [f"re: {prompt}" for prompt in prompts]
    assert returned > 0


def test_many_machines_worker_waits_while_every_host_is_away(machines: Any) -> None:
    with _hosts(1) as (server,):
        port, url = server.port, server.url
    worker = _worker(machines, [url], ChatLMStudio(model="emulator/chat", api_token=TOKEN))
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.extend(worker(_table("One", "Two")).column("answer").to_pylist()))
    asking.start()
    with Emulator(api_token=TOKEN, replies=_echo, port=port):
        asking.join()
    assert answers == ["re: One", "re: Two"]


def test_many_machines_worker_fails_if_no_host_answers_in_time(machines: Any) -> None:
    with _hosts(2) as (first, second):
        hosts = [first.url, second.url]
    worker = _worker(machines, hosts, ChatLMStudio(model="emulator/chat", api_token=TOKEN), patience=0.1)
    with pytest.raises(LMStudioServerNotFoundError, match=r"no host has answered for 0\.1 s: .*, .*"):
        worker(_table("One"))


def test_many_machines_worker_sends_only_unanswered_rows_to_the_next_host(machines: Any) -> None:
    with _hosts(2) as (home, other):
        home.faults.add("drop", after=1, times=1)
        worker = _worker(
            machines, [home.url, other.url], ChatLMStudio(model="emulator/chat", api_token=TOKEN), at_once=1
        )
        answered = worker(_table("One", "Two", "Three"))
        assert _predictions(home) + _predictions(other) == 4
    assert answered.column("answer").to_pylist() == ["re: One", "re: Two", "re: Three"]


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudio], ids=["langchain", "llama_index"])
def test_many_machines_worker_keeps_the_error_of_a_row_beside_the_answers_of_others(machines: Any, kind: Any) -> None:
    def replies(request: PredictionRequest) -> Reply:
        return Reply(error="The engine is out of memory") if "bad" in request.last_user_text else _echo(request)

    with _hosts(1, replies) as (server,):
        model = kind(model="emulator/chat", api_token=TOKEN, max_retries=0)
        answered = _worker(machines, [server.url], model)(_table("good", "bad", "fine"))
    assert answered.column("answer").to_pylist() == ["re: good", None, "re: fine"]
    errors = answered.column("error").to_pylist()
    assert "The engine is out of memory" in errors[1]
    assert errors[0] is errors[2] is None


def test_many_machines_runs_as_a_program() -> None:
    with Emulator() as first, Emulator() as second:
        environment = {
            **os.environ,
            "LMSTUDIO_BASE_URL": first.url,
            "LMSTUDIO_HOSTS": f"{first.url},{second.url}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(ROOT),
        }
        ran = subprocess.run(
            [sys.executable, str(ROOT / "cookbook" / "many_machines.py")],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert _predictions(first) + _predictions(second) == 60
    assert "60 vectors of 768 numbers" in ran.stdout
    assert "60/60" in ran.stderr


def test_many_machines_page_runs_as_it_stands(machines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [
        EmulatedModel("qwen/qwen3-4b", loaded=True),
        EmulatedModel("text-embedding-nomic-embed-text-v1.5", "embedding", loaded=True),
    ]
    blocks = snippets("python", ROOT / "docs" / "many_machines.md")
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    printed: list[tuple[Any, ...]] = []
    names["print"] = lambda *values: printed.append(values)
    with (
        Emulator(models, api_token=TOKEN, replies=_echo) as first,
        Emulator(models, api_token=TOKEN, replies=_echo) as second,
    ):
        monkeypatch.setenv("LMSTUDIO_HOSTS", f"{first.url},{second.url}")
        exec(compile(blocks[0].source, "many_machines.md", "exec"), names)
        prompts = names["prompts"]
        assert names["answers"] == [f"re: {prompt}" for prompt in prompts]
        assert _predictions(first) == _predictions(second) == 10
        exec(compile(blocks[1].source, "many_machines.md", "exec"), names)
    assert [values[1] for values in printed[:-1]] == [f"re: {prompt}" for prompt in prompts]
    assert printed[-1] == (768,)
