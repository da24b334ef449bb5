"""Programs that end, are interrupted, fork, spawn, and open and close event loops: each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from .checks import Check
from .server import FRAGMENTS, RawServer

__all__ = ["CHECKS"]

_ROOT = Path(__file__).parents[2]
_SECONDS = 30
_BEGIN = """
import asyncio, atexit, multiprocessing, os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
from lmstudio_integrations import AsyncClient, Client, LMStudioError, Timeout
url = sys.argv[1]
client = Client(url)
model = client.llm.just_in_time("some/chat")
TEXT = "".join(FRAGMENTS)
def chat_model(**settings):
    from lmstudio_integrations.langchain import ChatLMStudio
    return ChatLMStudio(model="some/chat", base_url=url, **settings)
def prompt():
    from langchain_core.prompts import ChatPromptTemplate
    return ChatPromptTemplate.from_template("{text}")
def llm():
    from lmstudio_integrations.llama_index import LMStudio
    return LMStudio(model="some/chat", base_url=url, context_window=99)
""".replace("FRAGMENTS", repr(FRAGMENTS))


def _command(source: str, url: str) -> list[str]:
    return [sys.executable, "-c", _BEGIN + textwrap.dedent(source), url]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_ROOT)}


def _run(source: str, *, pace: float = 0.0, code: int = 0) -> str:
    """The output of a program, which must end by itself and write nothing to standard error."""
    with RawServer(pace=pace) as server:
        done = subprocess.run(  # noqa: S603  # our own programs
            _command(source, server.url),
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert done.stderr == "", done.stderr[-1500:]
        assert done.returncode == code, (done.returncode, done.stdout)
        assert server.wait_closed(10), "a socket is left"
        return done.stdout


def _prints(title: str, source: str, output: str, *, pace: float = 0.0, code: int = 0) -> Check:
    def check() -> None:
        got = _run(source, pace=pace, code=code)
        assert got == output, got

    check.__doc__ = f"{title}."
    return check


def _signalled(title: str, source: str, number: int, *, code: int, output: str | None, cancels: bool = True) -> Check:
    """Send a signal once two predictions' fragments are under way; the server must hear a cancel or lose the socket."""

    def check() -> None:
        with RawServer(pace=0.02) as server:
            server.fragments = lambda creation: FRAGMENTS * 200
            process = subprocess.Popen(  # noqa: S603  # our own programs
                _command(source, server.url),
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                _until(lambda: server.counts["predict"] > 0)
                time.sleep(0.3)
                process.send_signal(number)
                started = time.monotonic()
                printed, errors = process.communicate(timeout=_SECONDS)
            finally:
                process.kill()
                process.wait()
            assert time.monotonic() - started < 5, "slow"
            assert output is None or printed == output, printed
            assert process.returncode == code, (process.returncode, errors[-800:])
            assert "lmstudio" not in errors.lower() or "KeyboardInterrupt" in errors, errors[-800:]
            assert not cancels or server.counts["channelSend"] > 0, "no cancel"
            assert server.wait_closed(10), "a socket is left"

    check.__doc__ = f"{title}."
    return check


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not begin"
        time.sleep(0.01)


_CAUGHT = """
try:
    {}
except KeyboardInterrupt:
    print("interrupted")
    client.close()
"""
_INTERRUPTED = {
    "Client.respond": 'model.respond("Hi")',
    "Client.respond_stream": '[None for piece in model.respond_stream("Hi")]',
    "AsyncClient.respond": 'asyncio.run(AsyncClient(url).llm.just_in_time("some/chat").respond("Hi"))',
    "ChatLMStudio.invoke": 'chat_model().invoke("Hi")',
    "ChatLMStudio.batch": 'chat_model().batch(["Hi"] * 20, config={"max_concurrency": 4})',
    "(prompt | ChatLMStudio).batch": '(prompt() | chat_model()).batch(["a", "b", "c"])',
    "ChatLMStudio.stream": '[None for chunk in chat_model().stream("Hi")]',
    "ChatLMStudio.ainvoke": 'asyncio.run(chat_model().ainvoke("Hi"))',
    "LMStudio.complete": 'llm().complete("Hi")',
    "LMStudio.stream_complete": '[None for response in llm().stream_complete("Hi")]',
}


def ctrl_c_in_a_terminal() -> None:
    """Ctrl-C in a terminal (pty): the program's own handler runs at once, and the server hears a cancel."""
    with RawServer(pace=0.02) as server:
        server.fragments = lambda creation: FRAGMENTS * 200
        child, terminal = pty.fork()
        if child == 0:
            command = _command(_CAUGHT.format('model.respond("Hi")'), server.url)
            os.execve(command[0], command, _environment())  # noqa: S606  # our own program
        try:
            _until(lambda: server.counts["predict"] > 0)
            time.sleep(0.3)
            os.write(terminal, b"\x03")
            printed = b""
            while select.select([terminal], [], [], 10)[0]:
                try:
                    data = os.read(terminal, 4096)
                except OSError:
                    break
                if not data:
                    break
                printed += data
            _, status = os.waitpid(child, 0)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.close(terminal)
        assert b"interrupted" in printed, printed
        assert os.waitstatus_to_exitcode(status) == 0, printed
        assert server.counts["channelSend"] > 0, "no cancel"
        assert server.wait_closed(10)


_OPEN = """
stream = model.respond_stream("Hi")
next(iter(stream))
"""

CHECKS: tuple[Check, ...] = (
    *(
        _signalled(
            f"Ctrl-C in {name}: KeyboardInterrupt at once, the server hears a cancel",
            _CAUGHT.format(call),
            signal.SIGINT,
            code=0,
            output="interrupted\n",
        )
        for name, call in _INTERRUPTED.items()
    ),
    ctrl_c_in_a_terminal,
    _signalled(
        "SIGTERM in a call ends the process; its socket is gone",
        'model.respond("Hi")',
        signal.SIGTERM,
        code=-signal.SIGTERM,
        output="",
        cancels=False,
    ),
    _signalled(
        "SIGTERM as a handler that exits (uvicorn, gunicorn): a cancel goes out",
        'signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\nmodel.respond("Hi")',
        signal.SIGTERM,
        code=3,
        output="",
    ),
    _prints("Exit with an open stream, blocking: at once, in silence", _OPEN + "print('end')", "end\n", pace=0.05),
    _prints(
        "Exit with ten open streams on ten threads",
        """
def work():
    for piece in model.respond_stream("Hi"):
        pass
for _ in range(10):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
print("end")
""",
        "end\n",
        pace=0.2,
    ),
    _prints(
        "Exit with an open stream of an awaiting client",
        """
async def main():
    global stream
    stream = await AsyncClient(url).llm.just_in_time("some/chat").respond_stream("Hi")
    async for piece in stream:
        break
asyncio.run(main())
print("end")
""",
        "end\n",
        pace=0.05,
    ),
    _prints(
        "A request in an atexit handler: an answer or a clear error, no hang",
        """
def ask():
    try:
        print(model.respond("Hi").content == TEXT)
    except LMStudioError as error:
        print("error", len(str(error)) < 200)
atexit.register(ask)
client.system.version()
""",
        "error True\n",
    ),
    _prints(
        "The first request on a thread that starts as the interpreter ends: an answer or a clear error, no hang",
        """
def work():
    time.sleep(0.3)  # the main thread has ended by then
    try:
        print(model.respond("Hi").content == TEXT)
    except LMStudioError as error:
        print(True)
threading.Thread(target=work).start()
""",
        "True\n",
    ),
    _prints(
        "A request on a thread that outlives the main thread, on a warm connection: an answer or a clear error",
        """
model.respond("Hi")
def work():
    time.sleep(0.3)
    try:
        print(model.respond("Hi").content == TEXT)
    except LMStudioError as error:
        print(True)
threading.Thread(target=work).start()
""",
        "True\n",
    ),
    _prints(
        "asyncio.run twice with one client",
        """
client = AsyncClient(url)
async def main():
    print((await client.llm.just_in_time("some/chat").respond("Hi")).content == TEXT)
asyncio.run(main())
asyncio.run(main())
""",
        "True\nTrue\n",
    ),
    _prints(
        "asyncio.run twice with one ChatLMStudio and one LMStudio",
        """
chat, other = chat_model(), llm()
async def main():
    print((await chat.ainvoke("Hi")).text == TEXT, (await other.acomplete("Hi")).text == TEXT)
asyncio.run(main())
asyncio.run(main())
""",
        "True True\nTrue True\n",
    ),
    _prints(
        "A loop closed in mid-stream: no complaint, and the next loop works",
        """
client = AsyncClient(url)
async def begin():
    global pieces
    pieces = aiter(await client.llm.just_in_time("some/chat").respond_stream("Hi"))
    await anext(pieces)
asyncio.run(begin())
del pieces
async def main():
    print((await client.llm.just_in_time("some/chat").respond("Hi")).content == TEXT)
asyncio.run(main())
""",
        "True\n",
        pace=0.02,
    ),
    _prints(
        "fork after a request: the child has its own connection, the parent's stream goes on",
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
pieces = iter(model.respond_stream("Hi"))
first = next(pieces)
child = os.fork()
if child == 0:
    print(model.respond("Hi").content == TEXT, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(first.content + "".join(piece.content for piece in pieces) == TEXT)
""",
        "True\nTrue\n",
        pace=0.02,
    ),
    _prints(
        "A prefork server: four workers forked after a request, each asks",
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
assert model.respond("Hi").content == TEXT
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        os._exit(0 if model.respond("Hi").content == TEXT and chat_model().invoke("Hi").text == TEXT else 1)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
""",
        "[0, 0, 0, 0]\n",
    ),
    _prints(
        "A pickled client and chat model ask in a fresh process, as spawn starts one",
        """
import pickle, subprocess
code = '''
import pickle, sys
thing = pickle.loads(bytes.fromhex(sys.argv[1]))
if hasattr(thing, "invoke"):
    print(thing.invoke("Hi").text, end="")
else:
    print(thing.llm.just_in_time("some/chat").respond("Hi").content, end="")
'''
for thing in (client, chat_model()):
    command = [sys.executable, "-c", code, pickle.dumps(thing).hex()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25)
    print(done.stdout == TEXT, done.stderr)
""",
        "True \nTrue \n",
    ),
    _prints(
        "A logging handler that asks the model: a clear error in place of a deadlock",
        """
import logging
class Asks(logging.Handler):
    def emit(self, record):
        try:
            model.respond("what does this mean?")
            print("answered")
        except Exception as error:
            print(type(error).__name__, "I/O thread" in str(error))
logging.getLogger("lmstudio_integrations").addHandler(Asks())
from lmstudio_integrations.client.transport.thread import io_thread
async def warn():
    logging.getLogger("lmstudio_integrations").warning("odd")
io_thread().submit(warn()).result(10)
print(model.respond("Hi").content == TEXT)
""",
        "LMStudioError True\nTrue\n",
    ),
)
