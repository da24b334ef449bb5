from __future__ import annotations

from typing import Any

import pytest

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.auth import (
    Authentication,
    AuthenticationReply,
    guest_authentication,
    token_authentication,
)
from tests.frame_validation import transcripts
from tests.frame_validation.shared import needs_shared

TOKEN = "sk-lm-abcDEF12:0123456789abcdefGHIJ"


def test_token_is_sent_as_identifier_and_passkey() -> None:
    assert token_authentication(TOKEN).to_wire() == {
        "authVersion": 1,
        "clientIdentifier": "abcDEF12",
        "clientPasskey": "0123456789abcdefGHIJ",
    }


@pytest.mark.parametrize(
    "token", ["", TOKEN + "x", TOKEN[:-1], TOKEN.upper(), f" {TOKEN}", TOKEN + "\n", TOKEN.replace("a", "ä"), 5, None]
)
def test_malformed_token_is_refused_and_not_repeated(token: Any) -> None:
    with pytest.raises(LMStudioValueError) as caught:
        token_authentication(token)
    assert "0123456789" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_passkey_is_in_no_repr() -> None:
    assert "0123456789" not in repr(token_authentication(TOKEN))


def test_guest_identities_are_unique_and_marked_as_guests() -> None:
    one, two = guest_authentication(), guest_authentication()
    assert one.client_identifier.startswith("guest:")
    assert one.client_identifier != two.client_identifier
    assert one.client_passkey != two.client_passkey
    assert max(len(one.client_identifier), len(one.client_passkey)) <= 256


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"authVersion": 2, "clientIdentifier": "a", "clientPasskey": "b"},
        {"authVersion": 1, "clientIdentifier": "a" * 257, "clientPasskey": "b"},
        {"authVersion": 1, "clientIdentifier": "a"},
        {"authVersion": 1, "clientIdentifier": 5, "clientPasskey": "b"},
    ],
)
def test_malformed_authentication_raises(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Authentication.from_wire(raw)


@needs_shared
def test_recorded_authentications_are_read() -> None:
    replies = []
    for name in ("auth.js20", "auth.py16", "auth_badtoken.js20", "auth_token.js20"):
        for frame in transcripts.load(name):
            if "authVersion" in frame.frame:
                assert Authentication.from_wire(frame.frame).to_wire() == frame.frame
            elif "success" in frame.frame:
                replies.append(AuthenticationReply.model_validate(frame.frame))
    assert {reply.success for reply in replies} == {True, False}
    assert all(isinstance(reply.error, str) for reply in replies if not reply.success)
