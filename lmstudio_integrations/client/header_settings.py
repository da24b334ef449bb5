"""The setting ``headers`` of both adapters, which keeps the user and password of an address out of sight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from lmstudio_integrations.client.server_headers import (
    ServerHeaders,
    lost_headers,
    parse_headers,
    parse_server,
    restore_headers,
)
from lmstudio_integrations.client.settings import LOST_TOKEN

__all__ = ["HeaderSettings", "hide_user"]


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


class HeaderSettings(BaseModel):
    """``headers``, which nothing shows: no repr, no trace, no stored form, no pickle.

    A class that inherits it has the fields ``base_url``, ``timeout``, ``max_retries`` and ``ssl_context``, and passes
    its constructor's values through ``hide_user``.
    """

    # Not built: each class that inherits the field has it in a schema of its own. An error must not show the values
    # of a constructor, among which are secrets.
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, hide_input_in_errors=True)

    headers: Mapping[str, SecretStr] | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Names and values that a reverse proxy in front of LM Studio demands, sent with each connection. "
        "For basic authentication write base_url='https://user:password@host'. Neither the values nor the user are "
        "in repr, traces, stored forms and pickles.",
    )

    @field_validator("headers", mode="before")
    @classmethod
    def _check_headers(cls, value: Any) -> Any:
        return _secrets(parse_headers(value))

    def __getstate__(self) -> dict[Any, Any]:
        """Without the headers' values: a pickle travels and is kept."""
        state = super().__getstate__()
        if self.headers:
            state["__dict__"] = {**state["__dict__"], "headers": lost_headers(self.headers)}
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

    if TYPE_CHECKING:
        base_url: str | None
        timeout: Any
        max_retries: int
        ssl_context: Any

    def _client_settings(self) -> dict[str, Any]:
        """Keywords of the client's constructor, apart from the address and the token."""
        return {
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "ssl_context": self.ssl_context,
            "headers": self._server_headers(),
        }

    def _server_headers(self) -> ServerHeaders | None:
        """For the client.

        Raises:
            LMStudioAuthenticationError: The object had headers, and its pickle does not hold them.
        """
        return None if self.headers is None else restore_headers(self._base(), self.headers)

    def _base(self) -> str | None:
        return parse_server(self.base_url)[0]
