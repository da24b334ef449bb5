"""Address, identity and time limits: all are checked before a socket is opened."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from lmstudio_integrations.errors import LMStudioAuthenticationError, LMStudioValueError
from lmstudio_integrations.protocol.auth import Authentication, token_authentication

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

__all__ = ["DEFAULT_PORTS", "USER_PORT", "Timeout", "parse_address", "parse_token"]

logger: logging.Logger = logging.getLogger("lmstudio_integrations")

DEFAULT_PORTS = (41343, 52993, 16141, 39414, 22931)
"""The API ports that LM Studio tries on 127.0.0.1, in its order (lmstudio-js, client port discovery)."""

USER_PORT = 1234
"""The port of the server that users switch on by hand; it serves the same WebSocket paths (documented usage)."""

TOKEN_VARIABLES = ("LMSTUDIO_API_TOKEN", "LM_API_TOKEN")
"""Environment variables with the API token: the Python SDK's name first, then the JavaScript SDK's."""

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
# The paths of LM Studio's REST and OpenAI-compatible endpoints, which users have at hand.
_REST_PATH = re.compile(r"/(?:v1|api/v[01])(?:/.*)?/?$")
_NEVER_IN_URL = re.compile(r"[\x00-\x20\x7f\\\"<>^`{|}]")
_LIKE_A_TOKEN = "sk-lm-"  # noqa: S105  # how all of them begin
_LIMITS = ("connect", "first_packet", "idle", "total", "load", "reconnect")


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long each stage may take, in seconds; ``None`` lifts a limit, except ``reconnect``.

    Example:
        ```python
        from lmstudio_integrations import Client, Timeout

        client = Client(timeout=Timeout(first_packet=60, total=600))
        model = client.llm.just_in_time("qwen/qwen3-4b")
        result = model.respond("Why is the sky blue?", timeout=30)  # of this call: connect, first_packet and idle
        ```

    * ``connect`` (4.0): one attempt to connect: socket, handshake and authentication.
    * ``first_packet`` (300.0): from the moment when the request is sent to the first packet of its answer. While LM
      Studio says that the request is queued behind others, this limit starts again.
    * ``idle`` (300.0): between two packets of one answer that show progress. Fragments and tool calls always do; a
      prompt-processing packet does if it reports more than the ones before.
    * ``load`` (600.0): the same between two packets while a model is loaded.
    * ``total`` (none): the whole call, connecting and loading included.
    * ``reconnect`` (10.0): how long to go on connecting to a server that has answered in this process and is gone, as
      when it restarts. 0 fails at once.

    A plain number in place of a ``Timeout`` sets ``connect``, ``first_packet`` and ``idle``.

    Raises:
        LMStudioValueError: A limit is no number above 0.
        LMStudioTimeoutError: By a call: a limit expired. The error names it and the last packet.
    """

    connect: float | None = 4.0
    first_packet: float | None = 300.0
    idle: float | None = 300.0
    total: float | None = None
    load: float | None = 600.0
    reconnect: float = 10.0

    def __post_init__(self) -> None:
        for name in _LIMITS[:-1]:
            _check_seconds(name, getattr(self, name))
        if self.reconnect is None:
            raise LMStudioValueError("reconnect=None: expected a time limit in seconds, or 0 to fail at once")
        if self.reconnect != 0 or isinstance(self.reconnect, bool):
            _check_seconds("reconnect", self.reconnect)

    @classmethod
    def of(cls, value: float | Timeout | Mapping[str, float | None] | None, base: Timeout | None = None) -> Timeout:
        """``value`` as limits: ``None`` keeps ``base``, a number sets three, a mapping sets those it names."""
        base = base or cls()
        if value is None:
            return base
        if isinstance(value, Timeout):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            _check_seconds("timeout", value)
            return replace(base, connect=float(value), first_packet=float(value), idle=float(value))
        try:
            given = dict(value)  # type: ignore[arg-type]  # other types are refused here
        except (TypeError, ValueError):
            raise LMStudioValueError(
                f"timeout={value!r}: expected a time limit in seconds, a Timeout, or a mapping of {', '.join(_LIMITS)}"
            ) from None
        unknown = [name for name in given if name not in _LIMITS]
        if unknown:
            raise LMStudioValueError(f"unknown time limit {unknown[0]!r}: there are {', '.join(_LIMITS)}")
        changes: dict[str, Any] = given
        return replace(base, **changes)


def _check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise LMStudioValueError(
            f"{name}={value!r}: expected a time limit in seconds, a number above 0, or None for no limit"
        )


def parse_address(url: Any) -> str | None:
    """The base URL of the server's WebSockets, ``ws[s]://host:port[/prefix]``, or ``None`` to look for LM Studio here.

    Takes ``ws://``, ``wss://``, ``http://``, ``https://`` and bare ``host:port``, with a path prefix (a reverse proxy)
    but no query, fragment or user (``parse_server`` removes a user before); a missing port is the default of the
    scheme, and 1234 without a scheme. ``None`` reads ``LMSTUDIO_BASE_URL``. Paths of its REST and OpenAI-compatible
    endpoints (``/v1/…``, ``/api/v0/…``, ``/api/v1/…``) are cut off.
    """
    if url is None:
        url = os.environ.get("LMSTUDIO_BASE_URL") or None
        if url is None:
            return None
    if not isinstance(url, str) or not url.strip():
        raise LMStudioValueError(f"{url!r} is no address: pass one like 'ws://localhost:1234' or 'localhost:1234'")
    refuse_token_in_address(url)
    return _parse_address(str(url).strip())


def refuse_token_in_address(url: str) -> None:
    """Raise ``LMStudioValueError`` if the address holds an API token, without repeating it."""
    if _LIKE_A_TOKEN in url:
        del url
        raise LMStudioValueError("the address holds an API token: pass the token as api_token, and the address alone")


@lru_cache(maxsize=64)
def _parse_address(text: str) -> str:
    """Kept, as the adapters make a client for each call."""
    bare = "://" not in text
    shown = _safe(text)
    try:
        parts = urlsplit(f"ws://{text}" if bare else text)
        port = parts.port
    except ValueError:
        raise LMStudioValueError(f"{shown!r} is no address: the host or the port cannot be read") from None
    if parts.scheme not in _SCHEMES:
        raise LMStudioValueError(f"{shown!r}: LM Studio is reached through {', '.join(_SCHEMES)}, not {parts.scheme!r}")
    if parts.username is not None or parts.password is not None:
        raise LMStudioValueError(
            "an address with a user needs a password, too: http://user:password@host, with %40 for an @ in them. "
            "A token of LM Studio is passed as api_token"
        )
    if "@" in parts.path:  # the rest of a password, if a "/" stands in it
        raise LMStudioValueError("an address must not have an @ after the host: write / in a password as %2F")
    if parts.query or parts.fragment or not parts.hostname or _NEVER_IN_URL.search(text):
        raise LMStudioValueError(f"{shown!r} is no address: a host, a port and a path prefix are all that it may hold")
    if not _is_host(parts.hostname) or port == 0:
        raise LMStudioValueError(
            f"{shown!r} is no address: expected a host name whose parts between dots have 1 to 63 characters, and a "
            "port from 1 to 65535"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is None and bare:
        port = USER_PORT
    path = _REST_PATH.sub("", parts.path).rstrip("/")
    return f"{_SCHEMES[parts.scheme]}://{host}{'' if port is None else f':{port}'}{path}"


def _is_host(host: str) -> bool:
    """Whether ``host`` is an IPv6 address, or a name that can be looked up."""
    try:
        return ":" in host or len(host.encode("idna")) < 255  # the codec of Python's own look-up
    except UnicodeError:  # an empty part, or one of more than 63 characters
        return False


def _safe(url: str) -> str:
    """``url`` without a user's name or password and without its query, where people put tokens: for messages."""
    return re.split(r"[?#]", url.rsplit("@", 1)[-1], maxsplit=1)[0]


def is_local(base: str) -> bool:
    """Whether ``base`` is this machine: then no proxy is used."""
    host = urlsplit(base).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def parse_token(api_token: Any = None) -> Authentication | None:
    """The authentication that an API token stands for, or ``None`` for a guest.

    ``api_token`` is a string, anything with ``get_secret_value()``, or a function that returns one; ``None`` reads
    ``LMSTUDIO_API_TOKEN`` (the Python SDK's name), then ``LM_API_TOKEN`` (the JavaScript SDK's). A token of the wrong
    form is an error that does not repeat it; text that does not begin with ``sk-lm-`` is no token (users of the
    OpenAI-compatible endpoint pass such text for "none"): it is ignored with a warning, and the environment is not
    read.
    """
    try:
        api_token = call_token(api_token)
        if hasattr(api_token, "get_secret_value"):
            api_token = api_token.get_secret_value()
        if api_token is None:
            # Stripped, because a variable that is read from a file ends in a line break.
            api_token = next(filter(None, (os.environ.get(name, "").strip() for name in TOKEN_VARIABLES)), None)
        if api_token is None:
            return None
        if not isinstance(api_token, str):
            raise LMStudioValueError(f"expected the API token as a string, got {type(api_token).__name__}")
        if not api_token.strip().startswith(_LIKE_A_TOKEN):
            _warn_of_placeholder()
            return None
        return token_authentication(api_token)
    finally:
        del api_token  # error trackers record the local variables of a traceback


@cache
def _warn_of_placeholder() -> None:
    """Once: what is passed to OpenAI's client for "no key" is not a token here either. It is not repeated."""
    logger.warning(
        "the API key does not begin with 'sk-lm-', so it is not an LM Studio API token and is ignored; "
        "a server that requires authentication will refuse the connection"
    )


def check_encryption(base: str | None, authentication: Authentication | None, headers: object = None) -> None:
    """Warn, once for each address, before an API token or headers go to another machine without encryption."""
    if base is None or not base.startswith("ws://") or is_local(base):
        return
    if authentication is not None:
        _warn_of_plain_text(base, "the API token is", "the token")
    if headers is not None:
        _warn_of_plain_text(base, "the headers for its proxy are", "them")


@lru_cache(maxsize=256)
def _warn_of_plain_text(base: str, sent: str, read: str) -> None:
    logger.warning(
        "the connection to %s is not encrypted, and %s sent over it: anyone on the network between can "
        "read %s. Use wss:// through a proxy that speaks TLS, or a tunnel.",
        base,
        sent,
        read,
    )


def parse_ssl_context(value: Any) -> SSLContext | str | None:
    """How ``wss://`` verifies: an ``ssl.SSLContext``, or the path of a file or folder with CA certificates (PEM).

    ``None`` is Python's default, the certificates of the system. Raises ``LMStudioValueError`` for anything else.
    """
    if value is None:
        return None
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        if not isinstance(path, str) or not os.path.exists(path):
            raise LMStudioValueError(f"ssl_context={value!r}: expected an existing file or folder with CA certificates")
        return path
    from ssl import SSLContext  # with TLS, a large part of what this package takes to import

    if isinstance(value, SSLContext):
        return value
    raise LMStudioValueError(f"ssl_context: expected an ssl.SSLContext or a path, got {type(value).__name__}")


LOST_TOKEN = SecretStr("\0lost")
"""In a pickle, in place of an API token or of a header's value. Neither can contain a NUL."""


def call_token(token: Any) -> Any:
    """``token`` itself, or what it returns if it is a function."""
    return token() if callable(token) else token


def token_in_pickle(token: SecretStr | str | None) -> SecretStr | None:
    """What a pickle has in place of a model object's API token."""
    text = token.get_secret_value() if isinstance(token, SecretStr) else token
    return LOST_TOKEN if text and text.strip() else None


def token_of(token: SecretStr | str | None) -> str | None:
    """The API token of a model object as plain text.

    Raises:
        LMStudioAuthenticationError: The object had a token, has been unpickled, and the environment has none.
    """
    text = token.get_secret_value() if isinstance(token, SecretStr) else token
    if text != LOST_TOKEN.get_secret_value():
        return text
    if not any(os.environ.get(name, "").strip() for name in TOKEN_VARIABLES):
        raise LMStudioAuthenticationError(
            "this object had an API token, which pickles do not hold: set LMSTUDIO_API_TOKEN in this process, "
            "or create the object again with its token"
        )
    return None
