"""Headers that a reverse proxy in front of LM Studio demands, basic authentication included. All values are secrets."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pydantic import SecretStr

from lmstudio_integrations.client.settings import LOST_TOKEN, parse_address, refuse_token_in_address
from lmstudio_integrations.errors import LMStudioAuthenticationError, LMStudioValueError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ServerHeaders",
    "basic_authorization",
    "lost_headers",
    "parse_headers",
    "parse_server",
    "restore_headers",
    "split_user",
]

_AUTHORIZATION = "Authorization"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
# Visible characters of ASCII, blanks and tabs between them: what every server reads alike.
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_USER = re.compile(r"\A((?:[A-Za-z][A-Za-z0-9+.-]*:)?//|)([^/?#]*)@(.*)\Z", re.DOTALL)
_OF_THE_HANDSHAKE = frozenset(
    {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


class ServerHeaders:
    """The headers of every request to one server, as pairs of name and value.

    It shows nothing of its values, because it stands in local variables and dictionary keys that error trackers
    record. It can be compared and is not pickled.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = tuple(pairs)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, as they were given."""
        return tuple(name for name, _ in self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ServerHeaders) and self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return "ServerHeaders(…)"

    def __reduce__(self) -> Any:
        raise TypeError("the headers for a server are not pickled: their values are secrets")


def parse_headers(value: Any) -> ServerHeaders | None:
    """Headers as users write them: a mapping of names to strings or anything with ``get_secret_value()``.

    Raises:
        LMStudioValueError: No mapping, a name or value that HTTP does not allow, a name that occurs twice, or a header
            of the WebSocket handshake itself. Never repeats a value.
    """
    try:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise LMStudioValueError(
                f"headers: expected a mapping like {{'X-Api-Key': '…'}}, got {type(value).__name__}"
            )
        pairs = [(_name(name), _value(name, item)) for name, item in value.items()]
    finally:
        del value  # error trackers record the local variables of a traceback
    lowered = [name.lower() for name, _ in pairs]
    twice = next((name for name in lowered if lowered.count(name) > 1), None)
    if twice is not None:
        raise LMStudioValueError(f"headers: {twice!r} occurs twice, and upper and lower case are the same")
    return ServerHeaders(pairs) if pairs else None


def _name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise LMStudioValueError("headers: a name may only have letters, digits and !#$%&'*+-.^_`|~")
    if name.lower() in _OF_THE_HANDSHAKE or name.lower().startswith("sec-websocket-"):
        raise LMStudioValueError(f"headers: {name!r} belongs to the WebSocket handshake and cannot be set")
    return name


def _value(name: str, value: Any) -> str:
    try:
        if hasattr(value, "get_secret_value"):
            value = value.get_secret_value()
        if not isinstance(value, str):
            raise LMStudioValueError(f"headers: expected the value of {name!r} as a string, got {type(value).__name__}")
        if not _VALUE.fullmatch(value.strip(" \t")):
            raise LMStudioValueError(
                f"headers: the value of {name!r} must be ASCII text without line breaks, and must not be empty"
            )
        return value.strip(" \t")
    finally:
        del value


def split_user(url: str) -> tuple[str, str | None]:
    """``url`` without ``user:password@``, and the value of the header ``Authorization`` for them.

    A user without a password is left in the address, whose check refuses it. ``%40`` and the like are decoded.

    Raises:
        LMStudioValueError: The user's name has a colon, or one of the two is not UTF-8.
    """
    try:
        found = _USER.match(url)
        if found is None or ":" not in found[2]:
            return url, None
        user, _, password = found[2].partition(":")
        try:
            user, password = (unquote(text, errors="strict") for text in (user, password))
        except UnicodeError:
            user = ":"
        return found[1] + found[3], basic_authorization(user, password)
    finally:
        del url
        found = user = password = None  # not in the frame of an error


def basic_authorization(user: str, password: str) -> str:
    """The value of the header ``Authorization`` for HTTP's basic authentication, in UTF-8.

    Raises:
        LMStudioValueError: The user's name has a colon, or one of the two is no text. Never repeats them.
    """
    try:
        if ":" in user:
            raise LMStudioValueError("basic authentication: the user must be UTF-8 text without a colon")
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    except (UnicodeError, TypeError):
        raise LMStudioValueError("basic authentication: expected a user and a password as text") from None
    finally:
        del user, password


def parse_server(url: Any, headers: Any = None) -> tuple[str | None, ServerHeaders | None]:
    """The base URL as ``parse_address`` makes it, and the headers for it.

    They are those given, and basic authentication if the address has ``user:password@``. ``None`` as ``url`` reads
    ``LMSTUDIO_BASE_URL``, which may have a user and a password as well.

    Raises:
        LMStudioValueError: No address, no headers, or two values for ``Authorization``. Never repeats a secret.
    """
    authorization: str | None = None
    try:
        given = headers if isinstance(headers, ServerHeaders) else parse_headers(headers)
        if url is None:
            url = os.environ.get("LMSTUDIO_BASE_URL") or None
        if isinstance(url, str):
            refuse_token_in_address(url)
            url, authorization = split_user(url.strip())
        base = None if url is None else parse_address(url)
        if authorization is None:
            return base, given
        pairs = [*given] if given is not None else []
        if any(name.lower() == _AUTHORIZATION.lower() for name, _ in pairs):
            raise LMStudioValueError("the address has a user and headers has 'Authorization': pass one of them")
        return base, ServerHeaders([*pairs, (_AUTHORIZATION, authorization)])
    finally:
        del url, headers, authorization
        given = pairs = None  # type: ignore[assignment]


def lost_headers(names: Iterable[str]) -> dict[str, SecretStr]:
    """What a pickle has in place of headers: their names."""
    return dict.fromkeys(names, LOST_TOKEN)


def restore_headers(base: str | None, headers: Mapping[str, SecretStr] | None) -> ServerHeaders | None:
    """The headers of an object, which may come from a pickle: then ``LMSTUDIO_BASE_URL`` may have them.

    Raises:
        LMStudioAuthenticationError: The object had headers, has been unpickled, and the environment has none for
            its server.
    """
    lost = [name for name, value in (headers or {}).items() if value == LOST_TOKEN]
    if not lost:
        return parse_headers(headers)
    here, found = parse_server(None)
    if found is not None and here == base and {name.lower() for name in lost} == {_AUTHORIZATION.lower()}:
        kept = {name: value for name, value in (headers or {}).items() if name not in lost}
        return ServerHeaders([*(parse_headers(kept) or ()), *found])
    raise LMStudioAuthenticationError(
        f"this object had headers ({', '.join(lost)}), whose values pickles do not hold: create the object again with "
        "headers=…, or set LMSTUDIO_BASE_URL to the address with its user and password in this process"
    )
