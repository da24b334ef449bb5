"""Ctrl-C, fork, and Python's exit: each in a program of its own that must say nothing on standard error and end."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
from pathlib import Path

import pytest

from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from tests.client.failure_modes.frame_builders import CHAT, UNLOADED, cancelled, opens, requests, wait_for_predictions
from tests.client.failure_modes.processes import environment, program, run

_BEGIN = f"""
import asyncio, atexit, gc, os, sys, threading, time
from lmstudio_integrations import AsyncClient, Client, Timeout
from lmstudio_integrations.errors import LMStudioError
url = sys.argv[1]
chat = {CHAT!r}
client = Client(url)
model = client.llm.just_in_time(chat)
"""


@pytest.fixture
def endless(server: Emulator) -> Emulator:
    """An emulator whose next ten answers stop after two fragments."""
    server.script(*(Reply("word " * 100, hold=ThreadsafeEvent(), hold_after=2) for _ in range(10)))
    return server


# Ctrl-C

# A shell's background jobs start with the signal ignored, and hand that down.
_HEAR_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


def _interrupt(server: Emulator, source: str, endpoint: str) -> subprocess.CompletedProcess[str]:
    """Run ``source``, press Ctrl-C once ``endpoint`` has been asked for, and wait for its end."""
    process = subprocess.Popen(
        program(_BEGIN + _HEAR_CTRL_C + source, server.url),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server.wait_for(opens(endpoint), timeout=20)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


_INTERRUPTED = {
    "respond": "model.respond('hi')",
    "iteration": "[None for fragment in model.respond_stream('hi')]",
    "result": "model.respond_stream('hi').result()",
    "asyncio": "asyncio.run(AsyncClient(url).llm.just_in_time(chat).respond('hi'))",
}


@pytest.mark.parametrize("way", _INTERRUPTED)
def test_ctrl_c_ends_a_wait_at_once_and_sends_a_cancel(endless: Emulator, way: str) -> None:
    source = f"""
try:
    {_INTERRUPTED[way]}
except KeyboardInterrupt:
    print("interrupted")
    print(model.tokenize("text") != [], flush=True)
    os._exit(0)  # so that it is not Python's exit that cancels
"""
    done = _interrupt(endless, source, "predict")
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\nTrue\n", "", 0)
    cancelled(endless)


def test_ctrl_c_in_an_rpc_ends_the_wait(server: Emulator) -> None:
    server.faults.add("silent", endpoint="tokenize")
    source = """
try:
    model.tokenize("text")
except KeyboardInterrupt:
    print(model.respond("hi").content != "")
    from lmstudio_integrations.client.transport.thread import io_thread
    (pool,) = io_thread()._pools.values()
    model.count_tokens("text")  # answered after the close of the prediction's channel
    print(pool._connections["llm"].multiplexer.open_calls)
"""
    done = _interrupt(server, source, "tokenize")
    assert (done.stdout, done.stderr, done.returncode) == ("True\n0\n", "", 0)


def test_ctrl_c_while_a_model_loads_cancels_the_load(server: Emulator) -> None:
    server.load_hold = ThreadsafeEvent()
    source = f"""
try:
    client.llm.model({UNLOADED!r})
except KeyboardInterrupt:
    print("interrupted", flush=True)
    model.respond("hi")
    os._exit(0)
"""
    done = _interrupt(server, source, "getOrLoad")
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
    cancelled(server, server.wait_for(opens("getOrLoad")))


def test_uncaught_ctrl_c_ends_the_program_as_python_does(endless: Emulator) -> None:
    done = _interrupt(endless, "model.respond('hi')", "predict")
    assert done.returncode == -signal.SIGINT
    assert done.stderr.splitlines()[-1].startswith("KeyboardInterrupt")
    assert done.stderr.count("Traceback") == 1
    cancelled(endless)


# Python's exit

_LEFT_OPEN = {
    "unread": "stream = model.respond_stream('hi')",
    "half read": "stream = model.respond_stream('hi'); fragments = iter(stream); next(fragments)",
    "many": "streams = [model.respond_stream('hi') for _ in range(10)]; kept = iter(streams[9]); next(kept)",
    "in a cycle": "ring = [model.respond_stream('hi')]; ring.append(ring); del ring",
    "in builtins": "import builtins; builtins.left = model.respond_stream('hi'); builtins.client = client",
    "in sys": "sys.left = model.respond_stream('hi'); sys.fragments = iter(sys.left); next(sys.fragments)",
    "in a class": "Keeper = type('Keeper', (), {'stream': model.respond_stream('hi')})",
    "in a daemon thread": """
threading.Thread(target=lambda: model.respond('hi'), daemon=True).start()
kept = iter(model.respond_stream("hi")); next(kept)""",
    "in calls": """
for _ in range(3):
    threading.Thread(target=lambda: model.tokenize('text'), daemon=True).start()
print(model.count_tokens('two words') > 0)""",
    "in a loop on a daemon thread": """
begun = threading.Event()
async def main():
    stream = await AsyncClient(url).llm.just_in_time(chat).respond_stream('hi')
    async for _ in stream:
        begun.set()
threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
begun.wait(20)""",
    "when asyncio.run ended": """
left = []
async def main():
    stream = await AsyncClient(url).llm.just_in_time(chat).respond_stream('hi')
    fragments = aiter(stream)
    await anext(fragments)
    left.extend((stream, fragments))
asyncio.run(main())""",
    "in tasks that asyncio.run cancels": """
async def main():
    llm = AsyncClient(url).llm.just_in_time(chat)
    tasks = [asyncio.create_task(llm.respond('hi')) for _ in range(5)]
    await anext(aiter(await llm.respond_stream('hi')))
asyncio.run(main())""",
    "while it connects": """
other = Client(url, timeout=Timeout(connect=None))
stream = other.embedding.just_in_time('emulator/embedding')
threading.Thread(target=lambda: stream.embed('a'), daemon=True).start()""",
    "by sys.exit in a loop": """
async def main():
    stream = await AsyncClient(url).llm.just_in_time(chat).respond_stream('hi')
    async for _ in stream:
        sys.exit(0)
asyncio.run(main())""",
    "by sys.exit in a for": """
for _ in model.respond_stream('hi'):
    sys.exit(0)""",
    "with a client in a with": """
with client:
    kept = iter(model.respond_stream("hi")); next(kept)
    sys.exit(0)""",
}


@pytest.mark.parametrize("way", _LEFT_OPEN)
def test_python_exits_at_once_without_output_with_an_open_stream(endless: Emulator, way: str) -> None:
    endless.faults.add("slow_auth", namespace="embedding")
    endless.faults.add("silent", endpoint="tokenize")
    run(_BEGIN + _LEFT_OPEN[way], endless.url)
    endless.wait_until(lambda: endless.connections == 0)


# asyncio's debug mode reports steps that take longer than 0.1 s, which says how busy the machine is.
_IGNORE_SLOW_STEPS = """
import logging
logging.getLogger("asyncio").addFilter(lambda record: not str(record.msg).startswith("Executing"))
"""


@pytest.mark.parametrize("way", ["half read", "in a cycle", "when asyncio.run ended", "in builtins"])
def test_python_exits_without_output_in_development_mode(endless: Emulator, way: str) -> None:
    run(_BEGIN + _IGNORE_SLOW_STEPS + _LEFT_OPEN[way], endless.url, options=("-X", "dev", "-W", "error"))
    endless.wait_until(lambda: endless.connections == 0)


def test_an_open_stream_is_cancelled_when_python_exits(endless: Emulator) -> None:
    run(_BEGIN + "stream = model.respond_stream('hi'); kept = iter(stream.events()); next(kept)", endless.url)
    cancelled(endless)


def test_python_exits_if_the_server_hangs(endless: Emulator) -> None:
    endless.faults.add("stall", after=1, connection=True)
    run(_BEGIN + "stream = model.respond_stream('hi'); kept = iter(stream.events()); next(kept)", endless.url)


def test_python_exits_if_the_name_server_does_not_answer() -> None:
    source = """
    import socket, sys, threading
    from lmstudio_integrations import Client
    asked = threading.Event()
    def getaddrinfo(*args, **kwargs):
        asked.set()
        threading.Event().wait(1000)
    socket.getaddrinfo = getaddrinfo
    stream = Client("ws://lm-studio.example:1234").llm.just_in_time().respond_stream("hi")
    asked.wait(20)
    """
    run(source)


def test_request_in_an_exit_handler_does_not_hang(endless: Emulator) -> None:
    """Handlers that were registered before the first request run after the I/O thread has stopped."""
    source = f"""
def late():
    for ask in (lambda: model.respond("hi"), lambda: model.tokenize("text"), lambda: stream.result()):
        try:
            ask()
        except LMStudioError as error:
            print(type(error).__name__)
    client.close()
    stream.cancel()
    stream.close()
    print("closed")

atexit.register(late)
stream = model.respond_stream("hi")
kept = iter(stream.events()); next(kept)
later = Client(url).llm.just_in_time({CHAT!r})
atexit.register(lambda: print(later.count_tokens("two words") > 0))
"""
    output = run(_BEGIN + source, endless.url)
    assert output.splitlines() == ["True", *["LMStudioConnectionError"] * 3, "closed"]


def test_non_daemon_thread_reads_its_answer_to_the_end_at_exit(server: Emulator) -> None:
    source = "threading.Thread(target=lambda: print(len(model.respond('hi').content) > 0)).start()"
    assert run(_BEGIN + source, server.url) == "True\n"


# fork

fork_only = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

_FORK = """
def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        work()
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


@fork_only
def test_forked_child_has_its_own_io_thread_and_the_parent_continues(server: Emulator) -> None:
    source = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on warns of fork with threads
print(model.respond("hi").content != "", flush=True)
def child():
    print(model.respond("hi").content != "")
    print(asyncio.run(AsyncClient(url).llm.just_in_time(chat).respond("hi")).content != "")
    client.close()
for _ in range(3):
    in_child(child)
print(model.respond("hi").content != "")
print(client.llm.just_in_time(chat).tokenize("text") != [])
"""
    assert run(_BEGIN + _FORK + source, server.url) == "True\n" * 9
    # One socket of the parent, which a child neither used nor closed, and one of each child.
    assert len({frame.connection for frame in requests(server, "tokenize") + requests(server, "predict")}) == 4


@fork_only
def test_fork_during_the_first_request_leaves_the_child_usable(server: Emulator) -> None:
    source = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
assert "websockets" not in sys.modules
stream = model.respond_stream("hi")
def child():
    print(model.count_tokens("two words") > 0)
in_child(child)
print(stream.result().content != "")
"""
    assert run(_BEGIN + _FORK + source, server.url) == "True\nTrue\n"


@fork_only
def test_parents_stream_raises_in_the_child_and_continues_in_the_parent(server: Emulator) -> None:
    server.script(Reply("One two three four", pace=0.05))
    source = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
stream = model.respond_stream("hi")
fragments = iter(stream)
first = next(fragments)
def child():
    for read in (lambda: list(fragments), lambda: stream.result()):
        try:
            read()
        except LMStudioError as error:
            print(type(error).__name__)
    stream.cancel()
    stream.close()
in_child(child)
print(str(first) + "".join(map(str, fragments)))
print(stream.result().stats.stop_reason)
"""
    output = run(_BEGIN + _FORK + source, server.url).splitlines()
    assert output == ["LMStudioDisconnectedError", "LMStudioDisconnectedError", "One two three four", "eosFound"]


@fork_only
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_client_works_in_worker_processes_of_every_start_method(server: Emulator, method: str, tmp_path: Path) -> None:
    source = f"""
    import multiprocessing, sys, warnings
    from lmstudio_integrations import Client
    warnings.simplefilter("ignore", DeprecationWarning)

    def ask(client):
        return client.llm.just_in_time({CHAT!r}).count_tokens("two words")

    if __name__ == "__main__":
        client = Client(sys.argv[1])
        print(ask(client) > 0)
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            print(all(count > 0 for count in pool.map(ask, [client] * 6)))
            pool.close()
            pool.join()
        print(ask(client) > 0)
    """
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(source))
    again = f"import runpy, sys; sys.argv[0] = {str(file)!r}; runpy.run_path({str(file)!r}, run_name='__main__')"
    assert run(again, server.url) == "True\n" * 3


@fork_only
def test_child_ended_by_os_exit_does_not_affect_the_parent(endless: Emulator) -> None:
    source = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
stream = model.respond_stream("hi")
kept = iter(stream.events()); next(kept)
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
gc.collect()
print(model.tokenize("text") != [])
stream.cancel()
print(stream.result().stats.stop_reason)
"""
    assert run(_BEGIN + source, endless.url) == "True\nuserStopped\n"
    wait_for_predictions(endless)
