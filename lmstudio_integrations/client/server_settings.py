"""The settings of both adapters about the server: how it is reached, and how a model is loaded there.

The API token and the values of ``headers`` are secrets: nothing shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from lmstudio_integrations.client.aio import AsyncClient
from lmstudio_integrations.client.server_headers import (
    ServerHeaders,
    lost_headers,
    parse_headers,
    parse_server,
    restore_headers,
)
from lmstudio_integrations.client.settings import LOST_TOKEN, Timeout, call_token, token_in_pickle, token_of
from lmstudio_integrations.client.sync import Client

__all__ = ["ServerSettings", "hide_user"]


def hide_user(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the user and password of ``base_url`` moved into ``headers``.

    Raises:
        LMStudioValueError: What ``parse_server`` raises for such an address.
    """
    made = dict(values)
    url = made.get("base_url")
    if isinstance(url, str) and "@" in url:
        made["base_url"], found = parse_server(url, made.get("headers"))
        made["headers"] = _secrets(found)
    return made


def _secrets(headers: ServerHeaders | None) -> dict[str, SecretStr] | None:
    return None if headers is None else {name: SecretStr(value) for name, value in headers}


def _is_basic(name: str, value: SecretStr) -> bool:
    return name.lower() == "authorization" and (value == LOST_TOKEN or value.get_secret_value()[:6].lower() == "basic ")


class ServerSettings(BaseModel):
    """How LM Studio is reached, and how a model is loaded there.

    A class that inherits it has a field for the API token, ``api_token`` or a name that ``OWN_NAMES`` gives it, and
    passes its constructor's values through ``hide_user``. No repr, trace, stored form or pickle holds the values of
    ``headers``, and no pickle the token.
    """

    # Not built: each class that inherits these fields has them in a schema of its own. An error must not show the
    # values of a constructor, among which are secrets.
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, hide_input_in_errors=True)

    OWN_NAMES: ClassVar[dict[str, str]] = {}
    """The framework's names for settings whose common name is another one."""

    headers: Mapping[str, SecretStr] | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Names and values that a reverse proxy in front of LM Studio demands, sent with each connection. "
        "For basic authentication write base_url='https://user:password@host'. Neither the values nor the user are "
        "in repr, traces, stored forms and pickles.",
    )
    base_url: str | None = Field(
        default=None,
        description="Address of LM Studio: 'ws://localhost:1234', 'http://…' or 'host:port'; the path of its OpenAI "
        "endpoint ('/v1') is cut off. None: LMSTUDIO_BASE_URL, else LM Studio's usual ports on this machine. A user "
        "and password for a reverse proxy ('https://user:password@host') are moved into headers.",
    )
    timeout: float | dict[str, float | None] | Timeout | None = Field(
        default=None,
        description="Seconds for connecting, for the first packet of an answer and between two packets; or a Timeout, "
        "or a mapping with its names, in which it is kept. None: its defaults. Loading a model has a limit of its own; "
        "the whole call has none unless 'total' sets one.",
    )
    max_retries: int = Field(
        default=2,
        ge=0,
        description="How often a request is sent again after a lost connection or an unloaded model, as long as no "
        "part of the answer has come. A prediction that has begun is never repeated.",
    )
    ssl_context: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="How wss:// is verified: the path of a file or folder with CA certificates (PEM), or an "
        "ssl.SSLContext. None: the certificates of the system. Not in stored forms: it belongs to a machine.",
    )
    ttl: float | None = Field(
        default=3600,
        gt=0,
        description="Seconds of idleness after which LM Studio unloads a model that a request of this object loaded. "
        "None: never.",
    )
    load_config: Mapping[str, Any] | None = Field(
        default=None,
        description="Settings for loading the model, under LM Studio's names (contextLength, gpu, flashAttention, …), "
        "camelCase or snake_case. They apply if a request of this object loads it; a model that is loaded already "
        "stays as it is.",
    )
    device: str | None = Field(
        default=None,
        description="Where the model is loaded and looked for: a device of LM Link, by the identifier that "
        "client.repository.lm_link_status() lists. None leaves it to LM Studio.",
    )
    check_resources: bool = Field(
        default=False,
        description="Ask LM Studio before a load whether the model would fit, and raise LMStudioResourcesError if its "
        "guardrails would not let it pass.",
    )

    @field_validator("headers", mode="before")
    @classmethod
    def _check_headers(cls, value: Any) -> Any:
        return _secrets(parse_headers(value))

    @field_validator("timeout", mode="before")
    @classmethod
    def _plain_limits(cls, value: Any) -> Any:
        """A ``Timeout`` as a mapping, which can be stored. Its own check says what is wrong with a value."""
        Timeout.of(value)
        if isinstance(value, Timeout):
            return asdict(value)
        return dict(value) if isinstance(value, Mapping) else value

    @field_validator("api_token", "api_key", mode="before", check_fields=False)
    @classmethod
    def _call_token(cls, value: Any) -> Any:
        """A function that returns the token is called when the object is made."""
        return call_token(value)

    def __getstate__(self) -> dict[Any, Any]:
        """Without the API token and the headers' values: a pickle travels and is kept."""
        state = super().__getstate__()
        name = self.OWN_NAMES.get("api_token", "api_token")
        state["__dict__"] = {**state["__dict__"], name: token_in_pickle(self._setting("api_token"))}
        if self.headers:
            state["__dict__"]["headers"] = lost_headers(self.headers)
        return state

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("base_url", "headers"):
            for changed, item in self._moved({name: value}).items():
                super().__setattr__(changed, item)
        else:
            super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy. Another ``base_url`` in ``update`` does not get the basic authentication of this one."""
        return super().model_copy(update=None if update is None else self._moved(update), deep=deep)

    def _moved(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """``changes`` of fields as they are stored. A new address gets no basic authentication of the old one."""
        if "headers" in changes:
            changes = {**changes, "headers": _secrets(parse_headers(changes["headers"]))}
        elif "base_url" in changes and self.headers is not None and changes["base_url"] != self.base_url:
            kept = {name: value for name, value in self.headers.items() if not _is_basic(name, value)}
            changes = {**changes, "headers": kept or None}
        return hide_user(changes)

    def _setting(self, name: str) -> Any:
        """The value of a field by its common name; ``None`` if the class has no such field."""
        return getattr(self, self.OWN_NAMES.get(name, name), None)

    def _client(self) -> Client:
        return Client(self.base_url, **self._client_settings())

    def _async_client(self) -> AsyncClient:
        return AsyncClient(self.base_url, **self._client_settings())

    def _client_settings(self) -> dict[str, Any]:
        """Keywords of the client's constructor, apart from the address.

        Raises:
            LMStudioAuthenticationError: The object had a token or headers, and its pickle does not hold them.
        """
        return {
            "api_token": token_of(self._setting("api_token")),
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "ssl_context": self.ssl_context,
            "headers": None if self.headers is None else restore_headers(parse_server(self.base_url)[0], self.headers),
        }
