"""Rows per second over 1, 2 and 4 hosts with ``cookbook/many_machines.py``, as a table for docs/many_machines.md.

Run it with ``uv run --extra all --group ray tools/measure_many_machines.py``. The hosts are emulators in processes of
their own with a set pace: what is measured is the spreading, not LM Studio and no model.
"""

# ruff: noqa: T201  # a command line program prints

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "cookbook")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

TOKENS, PACE, AT_ONCE = 20, 0.05, 4
_HOST = f"""
import sys
from lmstudio_integrations.emulator import Emulator, Reply
reply = Reply(fragments=["word "] * {TOKENS}, pace={PACE})
with Emulator(replies=lambda request: reply, record=False) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


def start_host(stack: ExitStack) -> str:
    """An emulator in a process of its own that ends with ``stack``; its address."""
    process = stack.enter_context(
        subprocess.Popen(  # noqa: S603  # this file's own text
            [sys.executable, "-c", _HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stack.callback(process.stdin.close)
    return process.stdout.readline().strip()


def plain(prompts: list[str], hosts: list[str]) -> float:
    """Seconds without Ray: one process, ``batch`` of one LangChain model for each host, prompts dealt out."""
    from lmstudio_integrations.langchain import ChatLMStudio

    started = time.perf_counter()
    with ThreadPoolExecutor(len(hosts)) as threads:
        for at, host in enumerate(hosts):
            model = ChatLMStudio(model="emulator/chat", base_url=host)
            threads.submit(model.batch, list(prompts[at :: len(hosts)]), {"max_concurrency": AT_ONCE})
    return time.perf_counter() - started


def with_ray(prompts: list[str], hosts: list[str]) -> float:
    """Seconds with Ray Data, the start of its workers included, the start of the cluster not."""
    import many_machines

    from lmstudio_integrations.langchain import ChatLMStudio

    started = time.perf_counter()
    model = ChatLMStudio(model="emulator/chat")
    rows: Any = many_machines.spread(many_machines.rows_of(prompts), model, hosts, at_once=AT_ONCE)
    assert all(row["error"] is None for row in rows.take_all())
    return time.perf_counter() - started


def main() -> None:
    """Print one row for each number of prompts and hosts."""
    parser = argparse.ArgumentParser(description="Measure rows per second over several emulated hosts.")
    parser.add_argument("--rows", type=int, nargs="+", default=[32, 128, 512])
    options = parser.parse_args()
    import ray

    with ExitStack() as stack:
        hosts = [start_host(stack) for _ in range(4)]
        started = time.perf_counter()
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
        ray.data.DataContext.get_current().enable_progress_bars = False
        print(f"cluster started in {time.perf_counter() - started:.1f} s; {os.cpu_count()} processors")
        limit = AT_ONCE / (TOKENS * PACE)
        print(
            f"a host answers at most {limit:.1f} rows/s: {AT_ONCE} at once, {TOKENS} tokens, {PACE * 1000:.0f} ms each"
        )
        print("rows hosts  Ray s rows/s  plain s rows/s")
        for count in options.rows:
            prompts = [f"Question {number}" for number in range(count)]
            for number in (1, 2, 4):
                ray_seconds, plain_seconds = with_ray(prompts, hosts[:number]), plain(prompts, hosts[:number])
                print(
                    f"{count:4} {number:5} {ray_seconds:6.1f} {count / ray_seconds:6.1f}"
                    f" {plain_seconds:8.1f} {count / plain_seconds:6.1f}",
                    flush=True,
                )
        ray.shutdown()


if __name__ == "__main__":
    main()
