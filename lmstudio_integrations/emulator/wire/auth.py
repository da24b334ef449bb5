"""Authentication: API token, guests, and the first passkey of an identifier."""

from __future__ import annotations

import re

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.auth import TOKEN_PATTERN, Authentication

_TOKEN_IDENTIFIER = re.compile(r"[A-Za-z0-9]{8}", re.ASCII)


class Authenticator:
    """Authenticates clients, and stores the passkeys of those that are connected.

    Guess: the messages of a refusal; LM Studio's own are not public.
    """

    def __init__(self, api_token: str | None) -> None:
        found = None if api_token is None else TOKEN_PATTERN.fullmatch(api_token)
        if api_token is not None and found is None:
            raise LMStudioValueError("expected an api_token of the form sk-lm-xxxxxxxx:xxxxxxxxxxxxxxxxxxxx")
        self._expected = None if found is None else (found[1], found[2])
        self._passkeys: dict[str, str] = {}
        self._sockets: dict[object, str] = {}

    def enter(self, connection: object, request: Authentication) -> str | None:
        """Authenticate a client: ``None``, or the reason why it is refused."""
        identifier, passkey = request.client_identifier, request.client_passkey
        if self._expected is not None and (identifier, passkey) != self._expected:
            if _TOKEN_IDENTIFIER.fullmatch(identifier):
                return "Invalid LM Studio API token."
            return "An LM Studio API token is required to access this server."
        if self._passkeys.setdefault(identifier, passkey) != passkey:
            return f"Failed to validate client: Invalid client passkey for client {identifier}"
        self._sockets[connection] = identifier
        return None

    def leave(self, connection: object) -> None:
        """Remove a closed socket; the last one of an identifier also removes its passkey."""
        identifier = self._sockets.pop(connection, None)
        if identifier is not None and identifier not in self._sockets.values():
            self._passkeys.pop(identifier, None)
