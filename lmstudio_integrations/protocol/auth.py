"""The first frame in each direction (PROTOCOL: "Authentication").

Nothing may be sent before ``{"success": true}`` has been received: it would be taken for a second authentication and
discarded without an answer.
"""

import re
import uuid
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol._model import LenientModel, WireModel

__all__ = ["TOKEN_PATTERN", "Authentication", "AuthenticationReply", "guest_authentication", "token_authentication"]

TOKEN_PATTERN = re.compile(r"sk-lm-([A-Za-z0-9]{8}):([A-Za-z0-9]{20})", re.ASCII)
"""An LM Studio API token; use ``fullmatch``. The first group travels as identifier, the second as passkey."""


class Authentication(WireModel):
    """Client: its identity. Uploaded files belong to the identifier.

    While an identifier is connected, its further sockets need the passkey of the first.

    Neither is in the repr, because error trackers record local variables and dictionary keys.
    """

    auth_version: Literal[1] = 1
    client_identifier: Annotated[str, Field(max_length=256, repr=False)]
    client_passkey: Annotated[str, Field(max_length=256, repr=False)]

    def __hash__(self) -> int:
        return hash((self.client_identifier, self.client_passkey))

    def __repr__(self) -> str:
        return "Authentication(…)"

    __str__ = __repr__

    def is_in(self, text: str) -> bool:
        """Whether ``text`` contains the identifier or the passkey."""
        return self.client_identifier in text or self.client_passkey in text

    def remove_from(self, text: str) -> str:
        """``text`` with identifier and passkey replaced by "…"."""
        return text.replace(self.client_passkey, "…").replace(self.client_identifier, "…")


def _is_true(value: Any) -> bool:
    return value is True


class AuthenticationReply(LenientModel):
    """Server: whether the client may go on; anything but ``true`` is a refusal, and the socket is closed."""

    success: Annotated[bool, BeforeValidator(_is_true)]
    error: str | None = None


def guest_authentication() -> Authentication:
    """A random identity without an API token. Use one pair for all sockets of a client."""
    return Authentication(client_identifier=f"guest:{uuid.uuid4()}", client_passkey=str(uuid.uuid4()))


def token_authentication(token: str) -> Authentication:
    """The identity that an API token stands for.

    Raises:
        LMStudioValueError: not of the form ``sk-lm-<8 characters>:<20 characters>``. Never repeats the token.
    """
    found = TOKEN_PATTERN.fullmatch(str(token))
    del token  # error trackers record the local variables of a traceback
    if found is None:
        raise LMStudioValueError(
            "The API token is not of the form sk-lm-xxxxxxxx:xxxxxxxxxxxxxxxxxxxx "
            "(eight letters or digits, a colon, twenty letters or digits)."
        )
    return Authentication(client_identifier=found[1], client_passkey=found[2])
