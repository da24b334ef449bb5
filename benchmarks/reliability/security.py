"""The API token is where it must be and nowhere else; TLS is verified; nothing is fetched unasked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import gc
import gzip
import http.server
import io
import logging
import os
import pickle
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from lmstudio_integrations import AsyncClient, Client, LMStudioError, Timeout
from lmstudio_integrations.client.images import ImagePart
from lmstudio_integrations.client.transport.thread import io_thread

from .checks import Check
from .server import CHAT, TEXT, FaultSite, Plan, RawServer, Stop

__all__ = ["CHECKS"]

NAME, PASSKEY = "AbCd1234", "abcdefghij0123456789"
TOKEN = f"sk-lm-{NAME}:{PASSKEY}"
_TOKEN_PARTS = (NAME, PASSKEY)
# Of proxies, which Python's own `urllib` keeps in its cache of addresses: another secret than the token.
_USER, _PASSWORD = "proxyuser", "proxy-0123456789"
_ENCODED = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
_PASSWORD_PARTS = (_USER, _PASSWORD, _ENCODED)
_LIMITS = Timeout(connect=1, first_packet=1, idle=1, load=1, reconnect=0)


def _shown(text: object, secrets: Sequence[str] = _TOKEN_PARTS) -> bool:
    words = text if isinstance(text, str) else repr(text)
    return any(secret in words for secret in secrets)


def _locals_of(error: BaseException) -> str:
    """A traceback with the local variables of our and the libraries' frames, as error trackers record it.

    The frames of this module are left out: the token is a constant of it.
    """
    made = traceback.TracebackException.from_exception(error, capture_locals=True)
    seen: set[int] = set()
    lines: list[str] = []

    def add(one: traceback.TracebackException | None) -> None:
        if one is None or id(one) in seen:
            return
        seen.add(id(one))
        lines.extend(one.format_exception_only())
        theirs = [frame for frame in one.stack if not frame.filename.endswith("security.py")]
        lines.extend(f"{frame.filename}:{frame.lineno} {frame.name}: {frame.locals}" for frame in theirs)
        add(one.__cause__)
        add(one.__context__)

    add(made)
    return "\n".join(lines)


def _error_of(work: Callable[[], object], kind: type[Exception] = LMStudioError) -> Exception:
    try:
        work()
    except kind as error:
        return error
    raise AssertionError("no error")


def _keeps_quiet(error: Exception, secrets: Sequence[str] = _TOKEN_PARTS) -> None:
    assert not _shown(str(error), secrets), str(error)
    found = [line for line in _locals_of(error).splitlines() if _shown(line, secrets)]
    assert not found, found[0][:1500]


@contextlib.contextmanager
def _all_logs() -> Iterator[io.StringIO]:
    """Everything that any logger says at any level."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    root = logging.getLogger()
    names = (
        "",
        "websockets",
        "websockets.client",
        "lmstudio_integrations",
        "lmstudio_integrations.websockets",
        "asyncio",
    )
    before = {name: logging.getLogger(name).level for name in names}
    root.addHandler(handler)
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.DEBUG)
        yield heard
    finally:
        root.removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


async def _refuse(site: FaultSite) -> None:
    await site.peer.send({"success": False, "error": f"no {TOKEN} here, {NAME}, {PASSKEY}"})
    await _never(site)


async def _close_with_token(site: FaultSite) -> None:
    await site.peer.frame((1008).to_bytes(2, "big") + f"bad token {TOKEN}".encode(), 8)
    raise Stop


async def _fail_with_token(site: FaultSite) -> None:
    raise Stop


async def _never(site: FaultSite) -> None:
    while site.id is None and await site.peer.reader.read(65536):
        pass
    raise Stop


async def _proxy_text(site: FaultSite) -> None:
    body = f"<p>bad token {TOKEN}</p>"
    head = f"HTTP/1.1 403 No {TOKEN}\r\nX-Seen: {TOKEN}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    await site.peer.write((head + body).encode())
    site.peer.writer.close()
    raise Stop


def _answers(head: str) -> Any:
    async def act(site: FaultSite) -> None:
        await site.peer.write(f"{head}\r\n\r\n".encode())
        site.peer.writer.close()
        raise Stop

    return act


async def _reset(site: FaultSite) -> None:
    site.peer.reset()
    raise Stop


_FAILURES: dict[str, tuple[str, Any]] = {
    "a proxy refuses the handshake with the token in its status, header and text": ("upgrade", _proxy_text),
    "the handshake's answer is not HTTP/1.1 and has the token": ("upgrade", _answers(f"HTTP/9.9 {TOKEN}")),
    "the handshake's answer has the token in a header that is wrong": (
        "upgrade",
        _answers(f"HTTP/1.1 101 Yes\r\nUpgrade: {TOKEN}\r\nConnection: Upgrade"),
    ),
    "the authentication is refused with the token in its words": ("auth", _refuse),
    "the authentication is never answered": ("auth", _never),
    "the socket is reset at the authentication": ("auth", _reset),
    "the socket is closed with the token in its reason": ("auth", _close_with_token),
    "the socket is closed in an answer with the token in its reason": ("fragments", _close_with_token),
    "the answer stays away": ("before_first", _fail_with_token),
}


def _password_ways() -> dict[str, Callable[[str], object]]:
    def langchain(url: str) -> object:
        from lmstudio_integrations.langchain import ChatLMStudio

        return ChatLMStudio(model=CHAT, base_url=url, timeout=_LIMITS, max_retries=0).invoke("Hi")

    def llama_index(url: str) -> object:
        from lmstudio_integrations.llama_index import LMStudio

        return LMStudio(model=CHAT, base_url=url, timeout=_LIMITS, max_retries=0, context_window=99).complete("Hi")

    return {
        "Client": lambda url: Client(url, timeout=_LIMITS, max_retries=0).llm.just_in_time(CHAT).respond("Hi"),
        "ChatLMStudio": langchain,
        "LMStudio": llama_index,
    }


def _ways() -> dict[str, Callable[[str], object]]:
    def langchain(url: str) -> object:
        from lmstudio_integrations.langchain import ChatLMStudio

        return ChatLMStudio(model=CHAT, base_url=url, api_token=TOKEN, timeout=_LIMITS, max_retries=0).invoke("Hi")

    def llama_index(url: str) -> object:
        from lmstudio_integrations.llama_index import LMStudio

        llm = LMStudio(model=CHAT, base_url=url, api_token=TOKEN, timeout=_LIMITS, max_retries=0, context_window=99)
        return llm.complete("Hi")

    async def awaiting(url: str) -> object:
        client = AsyncClient(url, api_token=TOKEN, timeout=_LIMITS, max_retries=0)
        return await client.llm.just_in_time(CHAT).respond("Hi")

    return {
        "Client": lambda url: (
            Client(url, api_token=TOKEN, timeout=_LIMITS, max_retries=0).llm.just_in_time(CHAT).respond("Hi")
        ),
        "AsyncClient": lambda url: asyncio.run(awaiting(url)),
        "ChatLMStudio": langchain,
        "LMStudio": llama_index,
    }


def _in_no_failure(words: str, moment: str, act: Any, way: str, run: Callable[[str], object]) -> Check:
    def check() -> None:
        with _all_logs() as heard, RawServer() as server:
            server.plan = Plan(moment, act, 10)
            _keeps_quiet(_error_of(lambda: run(server.url)))
            Client(server.url, api_token=TOKEN).close()
        found = [line for line in heard.getvalue().splitlines() if _shown(line)]
        assert not found, found[0][:600]

    check.__doc__ = f"{way}: token in no message, traceback with locals or log if {words}."
    return check


def _through_a_proxy(words: str, answer: bytes | None, scheme: str = "http") -> Check:
    """``answer``: what the proxy says to CONNECT; ``None``: no proxy listens."""

    def check() -> None:
        with _all_logs() as heard, _proxy(answer) as port, _environment(scheme, port):
            client = Client("ws://lmstudio.example:1234", timeout=_LIMITS, max_retries=0)
            _keeps_quiet(_error_of(lambda: client.llm.just_in_time(CHAT).respond("Hi")), _PASSWORD_PARTS)
            client.close()
        found = [line for line in heard.getvalue().splitlines() if _shown(line, _PASSWORD_PARTS)]
        assert not found, found[0][:600]

    check.__doc__ = f"The password of a forward proxy is in no message, traceback with locals or log if {words}."
    return check


@contextlib.contextmanager
def _environment(scheme: str, port: int) -> Iterator[None]:
    """A proxy in the environment, as users set it."""
    before = dict(os.environ)
    for name in ("no_proxy", "NO_PROXY", "socks_proxy", "SOCKS_PROXY", "all_proxy", "ALL_PROXY"):
        os.environ.pop(name, None)
    for name in ("http_proxy", "https_proxy"):
        os.environ[name] = f"{scheme}://{_USER}:{_PASSWORD}@127.0.0.1:{port}"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _proxy(answer: bytes | None) -> Iterator[int]:
    """The port of a proxy that answers each CONNECT so, or of none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        if answer is None:
            listener.close()
            yield port
            return

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True, name="Thread-proxy")
        thread.start()
        try:
            yield port
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(5)


_SHOWS = f"{_USER} {_PASSWORD} Basic {_ENCODED}"
_PROXY_ANSWERS: dict[str, tuple[bytes | None, str]] = {
    "it refuses and repeats it in its status, header and text": (
        f"HTTP/1.1 407 No {_SHOWS}\r\nX-Seen: {_SHOWS}\r\nContent-Length: {len(_SHOWS)}\r\n\r\n{_SHOWS}".encode(),
        "http",
    ),
    "its answer is not HTTP and repeats it": (f"NO {_SHOWS}\r\n\r\n".encode(), "http"),
    "it closes the connection": (b"", "http"),
    "it accepts, and what is behind it repeats it": (
        f"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 {_SHOWS}\r\n\r\n".encode(),
        "http",
    ),
    "none listens": (None, "http"),
    "its address is of an unknown kind": (None, "gopher"),
    "it is a SOCKS proxy that is not there": (None, "socks5h"),
}


def _password_of_an_address(way: str, make: Callable[[str], object]) -> Check:
    """``make(url)`` asks a reverse proxy with a user and a password in its address."""

    async def repeat(site: FaultSite) -> None:
        body = f"<p>{_SHOWS}</p>"
        head = f'HTTP/1.1 401 No {_SHOWS}\r\nWWW-Authenticate: Basic realm="{_SHOWS}"\r\n'
        await site.peer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        site.peer.writer.close()
        raise Stop

    def check() -> None:
        with _all_logs() as heard, RawServer() as server:
            server.plan = Plan("upgrade", repeat, 10)
            url = server.url.replace("ws://", f"http://{_USER}:{_PASSWORD}@")
            _keeps_quiet(_error_of(lambda: make(url)), _PASSWORD_PARTS)
        found = [line for line in heard.getvalue().splitlines() if _shown(line, _PASSWORD_PARTS)]
        assert not found, found[0][:600]

    check.__doc__ = f"{way}: the password of an address is in no message, traceback or log if a proxy repeats it."
    return check


def _from_no_server(way: str, run: Callable[[str], object]) -> Check:
    def check() -> None:
        with socket.socket() as bound, _all_logs() as heard:
            bound.bind(("127.0.0.1", 0))
            _keeps_quiet(_error_of(lambda: run(f"ws://127.0.0.1:{bound.getsockname()[1]}")))
        assert not _shown(heard.getvalue())

    check.__doc__ = f"{way}: token in no traceback with locals or log if no server listens."
    return check


def _wrong_place(words: str, make: Callable[[], object]) -> Check:
    def check() -> None:
        error = _error_of(make, Exception)
        if isinstance(error, LMStudioError):
            _keeps_quiet(error)
        else:  # pydantic's: its frames, and the framework's below ours, hold what the caller passed as plain text
            assert not _shown(str(error)), str(error)

    check.__doc__ = f"The token is not repeated: {words}."
    return check


def _langchain_model(**settings: Any) -> Any:
    from lmstudio_integrations.langchain import ChatLMStudio

    return ChatLMStudio(**{"model": CHAT, "api_token": TOKEN, **settings})


def _llama_model(**settings: Any) -> Any:
    from lmstudio_integrations.llama_index import LMStudio

    return LMStudio(**{"model": CHAT, "api_token": TOKEN, "context_window": 99, **settings})


def in_no_dump_of_langchain() -> None:
    """ChatLMStudio: token in no repr, dict, JSON, `dumps`, pickle, copy's repr, `_identifying_params` or callback."""
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.load import dumps

    seen: list[str] = []

    class Handler(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            seen.append(repr((args, kwargs)))

        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            seen.append(repr((args, kwargs)))

    with RawServer() as server:
        model = _langchain_model(base_url=server.url)
        message = model.invoke("Hi", config={"callbacks": [Handler()]})
        assert len(seen) == 2
        shown = [*seen, repr(model), str(model), repr(model.model_dump()), model.model_dump_json(), dumps(model)]
        shown += [repr(copy.copy(model)), repr(model.bind(stop=["x"])), repr(model._identifying_params), repr(message)]
        shown += [repr(model.model_copy()), repr(model._get_ls_params()), repr(vars(model))]
        assert not any(map(_shown, shown)), next(text for text in shown if _shown(text))[:600]
        data = pickle.dumps(model)
        assert NAME.encode() not in data
        assert PASSKEY.encode() not in data
        Client(server.url, api_token=TOKEN).close()


def in_no_dump_of_llama_index() -> None:
    """LMStudio: token in no repr, str, `to_dict`, `to_json`, `to_payload`, pickle, copy's repr or event."""
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler

    seen: list[str] = []

    class Handler(BaseEventHandler):
        @classmethod
        def class_name(cls) -> str:
            return "SecurityHandler"

        def handle(self, event: Any, **kwargs: Any) -> None:
            seen.append(repr(event) + event.model_dump_json())

    dispatcher, handler = get_dispatcher(), Handler()
    dispatcher.add_event_handler(handler)
    try:
        with RawServer() as server:
            llm = _llama_model(base_url=server.url)
            response = llm.complete("Hi")
            assert seen
            shown = [
                *seen,
                repr(llm),
                str(llm),
                repr(llm.to_dict()),
                llm.to_json(),
                repr(llm.to_payload()),
                repr(response),
            ]
            shown += [repr(copy.copy(llm)), repr(llm.model_dump()), repr(llm.metadata), repr(vars(llm))]
            assert not any(map(_shown, shown)), next(text for text in shown if _shown(text))[:600]
            data = pickle.dumps(llm)
            assert NAME.encode() not in data
            assert PASSKEY.encode() not in data
            Client(server.url, api_token=TOKEN).close()
    finally:
        dispatcher.event_handlers.remove(handler)


def in_no_dump_of_the_client() -> None:
    """Client, handles, streams: token in no repr, vars or pickle."""
    with RawServer() as server:
        client = Client(server.url, api_token=TOKEN)
        model = client.llm.just_in_time(CHAT)
        stream = model.respond_stream("Hi")
        stream.result()
        for thing in (client, model, stream, client.llm, client.files):
            assert not _shown(repr(thing))
            assert not _shown(repr(vars(thing)))
        for thing in (client, model):
            assert PASSKEY.encode() not in pickle.dumps(thing)
            assert NAME.encode() not in pickle.dumps(thing)
        client.close()


def in_no_dictionary_key() -> None:
    """After a call the token is in no key of a dictionary, and in no repr of the I/O thread's state."""
    with RawServer() as server:
        client = Client(server.url, api_token=TOKEN)
        client.llm.just_in_time(CHAT).respond("Hi")
        io = io_thread()
        assert not _shown(repr(vars(io)))
        for pool in io._pools.values():
            assert not _shown(repr(vars(pool)))
        for found in gc.get_objects():
            if type(found) is dict and found is not globals():
                for key in list(found):
                    if type(key) in (tuple, bytes):
                        assert not any(_shown(text) for text in _texts_of(key)), key
        client.close()


def _texts_of(key: object) -> Iterator[str]:
    """The texts in a key, and how objects of the package in it show themselves. Other packages' keys may be large."""
    if type(key) is tuple:
        for item in key:
            yield from _texts_of(item)
    elif isinstance(key, (str, bytes)) or type(key).__module__.startswith("lmstudio_integrations"):
        yield repr(key)


def not_after_a_redirect() -> None:
    """A redirect of the handshake is not followed, and no token goes anywhere."""

    async def redirect(site: FaultSite) -> None:
        head = f"HTTP/1.1 302 Found\r\nLocation: {other.url}/llm\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        await site.peer.write(head.encode())
        site.peer.writer.close()
        raise Stop

    with RawServer() as server, RawServer() as other:
        server.plan = Plan("upgrade", redirect, 10)
        model = Client(server.url, api_token=TOKEN, timeout=_LIMITS).llm.just_in_time(CHAT)
        _keeps_quiet(_error_of(lambda: model.respond("Hi")))
        assert other.counts["sockets"] == 0


_STARTED = """
import sys
seen = []
starts = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.startfile")
sys.addaudithook(lambda event, given: seen.append(repr(given)) if event in starts else None)
from lmstudio_integrations.client import Client
with Client(sys.argv[1]) as client:
    print(client.llm.just_in_time(sys.argv[2]).respond("Hi").content)
print("\\n".join([*seen, repr(sys.orig_argv)]))
"""


def in_no_process_list() -> None:
    """The token from the environment is in no command line: of this process, or of one that a call starts."""
    with RawServer() as server:
        environment = {**os.environ, "LMSTUDIO_API_TOKEN": TOKEN}
        command = [sys.executable, "-c", _STARTED, server.url, CHAT]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
        assert done.returncode == 0, done.stderr[-600:]
        assert server.counts["sockets"] > 0
    assert not _shown(done.stdout + done.stderr)


def a_warning_before_plain_text() -> None:
    """A warning, once, before a token goes over ws:// to another machine; none on this machine or over wss://."""
    with _all_logs() as heard:
        for _ in range(2):
            Client("ws://192.0.2.17:1234", api_token=TOKEN)
        assert heard.getvalue().count("not encrypted") == 1, heard.getvalue()
        assert "192.0.2.17" in heard.getvalue()
        assert not _shown(heard.getvalue())
    with _all_logs() as heard:
        Client("wss://192.0.2.18:1234", api_token=TOKEN)
        Client("ws://127.0.0.1:1234", api_token=TOKEN)
        Client("ws://192.0.2.19:1234")
        assert "not encrypted" not in heard.getvalue()


@contextlib.contextmanager
def _tls(context: ssl.SSLContext, port: int) -> Iterator[int]:
    """A TLS server in front of a plain one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True, name="Thread-tls")
    thread.start()
    tasks: set[asyncio.Task[Any]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current is not None
        tasks.add(current)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
            sink.close()

        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        far_writer.transport.abort()
        writer.transport.abort()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)

    async def end() -> None:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close in the next round

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(5)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def _behind_tls(use: Callable[[str, Path, str], None], name: str = "localhost") -> None:
    """``use(url, path of the CA, other path)`` against a server with a certificate for ``name``."""
    import trustme

    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    with RawServer() as server, _tls(context, server.port) as port, tempfile.TemporaryDirectory() as folder:
        own, other = Path(folder) / "own.pem", Path(folder) / "other.pem"
        authority.cert_pem.write_to_path(str(own))
        stranger.cert_pem.write_to_path(str(other))
        use(f"wss://localhost:{port}", own, str(other))


def _refused(work: Callable[[], object]) -> None:
    error = _error_of(work)
    words = str(error) + str(error.__cause__)
    assert "certificate" in words.lower(), words
    _keeps_quiet(error)


def _ask(url: str, **settings: Any) -> str:
    client = Client(url, api_token=TOKEN, timeout=_LIMITS, **settings)
    try:
        return client.llm.just_in_time(CHAT).respond("Hi").content
    finally:
        client.close()


def wss_refuses_unknown_certificates() -> None:
    """wss:// verifies: a certificate of an unknown authority is refused, by default and with another own CA."""

    def use(url: str, own: Path, other: str) -> None:
        _refused(lambda: _ask(url))
        _refused(lambda: _ask(url, ssl_context=other))

    _behind_tls(use)


def wss_refuses_other_names() -> None:
    """wss:// verifies: a certificate for another host is refused though its authority is known."""
    _behind_tls(lambda url, own, other: _refused(lambda: _ask(url, ssl_context=own)), name="elsewhere.example")


def wss_with_an_own_ca() -> None:
    """An own CA by `ssl_context=`: a path or an `ssl.SSLContext`; client, both adapters, copies and pickles."""

    def use(url: str, own: Path, other: str) -> None:
        assert _ask(url, ssl_context=own) == TEXT
        assert _ask(url, ssl_context=str(own)) == TEXT
        assert _ask(url, ssl_context=ssl.create_default_context(cafile=str(own))) == TEXT
        model = _langchain_model(base_url=url, ssl_context=str(own), timeout=_LIMITS)
        assert model.invoke("Hi").text == TEXT
        assert model.model_copy().invoke("Hi").text == TEXT
        guest = _langchain_model(base_url=url, ssl_context=str(own), timeout=_LIMITS, api_token=None)
        assert pickle.loads(pickle.dumps(guest)).invoke("Hi").text == TEXT  # noqa: S301  # our own
        assert _llama_model(base_url=url, ssl_context=str(own), timeout=_LIMITS).complete("Hi").text == TEXT
        client = pickle.loads(pickle.dumps(Client(url, ssl_context=str(own))))  # noqa: S301  # our own
        assert client.llm.just_in_time(CHAT).respond("Hi").content == TEXT

    _behind_tls(use)


class _Page(http.server.BaseHTTPRequestHandler):
    """An image that has no end, one that is a small compressed bomb, and one that comes slowly."""

    hits: list[str] = []  # noqa: RUF012  # one server at a time

    def do_GET(self) -> None:  # http.server's name
        self.hits.append(self.path)
        self.send_response(200)
        if self.path == "/bomb":
            data = gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(400 * 2**20), 1)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b"\x89PNG\r\n\x1a\n")
            while self.path == "/endless":
                self.wfile.write(bytes(65536))

    def log_message(self, format: str, *args: Any) -> None: ...


@contextlib.contextmanager
def _page() -> Iterator[str]:
    _Page.hits.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="Thread-page")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _history(url: str) -> Any:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, ImagePart(url)]}]}


def nothing_is_fetched_unasked() -> None:
    """An image that a message names by an address is not fetched unless `fetch_images=True`."""
    with _page() as page, RawServer() as server:
        model = Client(server.url).llm.just_in_time(CHAT)
        assert "fetch_images" in str(_error_of(lambda: model.respond(_history(f"{page}/image"))))
        assert _Page.hits == []


def a_fetch_is_limited_in_size() -> None:
    """A fetched image has a limit of size, also after decompression: one without an end and a bomb are refused."""
    from benchmarks.memory import resident

    with _page() as page:
        for path in ("/endless", "/bomb"):
            before = resident() or 0
            assert len(str(_error_of(ImagePart(f"{page}{path}").read))) < 500
            assert (resident() or 0) - before < 300 * 2**20


def the_emulator_listens_on_loopback() -> None:
    """The emulator listens on 127.0.0.1 unless told otherwise."""
    from lmstudio_integrations.emulator import Emulator

    with Emulator() as emulator:
        assert emulator.url.startswith("ws://127.0.0.1:")


CHECKS: tuple[Check, ...] = (
    *(
        _in_no_failure(words, moment, act, way, run)
        for words, (moment, act) in _FAILURES.items()
        for way, run in _ways().items()
    ),
    *(_from_no_server(way, run) for way, run in _ways().items()),
    *(_through_a_proxy(words, answer, scheme) for words, (answer, scheme) in _PROXY_ANSWERS.items()),
    *(_password_of_an_address(way, make) for way, make in _password_ways().items()),
    *(
        _wrong_place(words, make)
        for words, make in {
            "as the address": lambda: Client(TOKEN),
            "as the user of an address": lambda: Client(f"ws://{TOKEN}@host:1234"),
            "as a query of an address": lambda: Client(f"ws://host:1234/?token={TOKEN}"),
            "as a path of an address": lambda: Client(f"ws://host:1234/{TOKEN}"),
            "as the port of an address": lambda: Client(f"host:{TOKEN}"),
            "with a letter too many": lambda: Client("host:1", api_token=f"{TOKEN}x"),
            "without its last letter": lambda: Client("host:1", api_token=TOKEN[:-1]),
            "as bytes": lambda: Client("host:1", api_token=cast("Any", TOKEN.encode())),
            "beside an address that is wrong": lambda: Client("ftp://host", api_token=TOKEN),
            "beside a time limit that is wrong": lambda: Client("host:1", api_token=TOKEN, timeout=-1),
            "beside a wrong value for ChatLMStudio": lambda: _langchain_model(temperature="hot"),
            "beside an unknown name for ChatLMStudio": lambda: _langchain_model(temprature=1),
            "beside a wrong value for LMStudio": lambda: _llama_model(temperature="hot"),
            "beside an unknown name for LMStudio": lambda: _llama_model(temprature=1),
        }.items()
    ),
    in_no_dump_of_langchain,
    in_no_dump_of_llama_index,
    in_no_dump_of_the_client,
    in_no_dictionary_key,
    in_no_process_list,
    not_after_a_redirect,
    a_warning_before_plain_text,
    wss_refuses_unknown_certificates,
    wss_refuses_other_names,
    wss_with_an_own_ca,
    nothing_is_fetched_unasked,
    a_fetch_is_limited_in_size,
    the_emulator_listens_on_loopback,
)
