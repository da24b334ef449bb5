"""Second witness: the message models of the official Python SDK (``lmstudio`` on PyPI, October 2025).

It is always there, also where the schema is not, but knows fewer endpoints; what it does not know it says nothing about.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, get_type_hints

import msgspec
from lmstudio import _sdk_models

from tests.frame_validation import conversation
from tests.frame_validation.conversation import ABSENT, Direction, Part

_ATTRIBUTES: dict[Part, str] = {
    "parameter": "parameter",
    "returns": "returns",
    "creationParameter": "creation_parameter",
    "toClientPacket": "to_client_packet",
    "toServerPacket": "to_server_packet",
}
# Its model of these is older than LM Studio's schema, which has more kinds of log events; the SDK does not use it.
_OUTDATED = {("streamLogs", "toClientPacket")}


class SdkWitness:
    """Converts with the SDK's own types, as the SDK does."""

    def complain(self, namespace: str, kind: Literal["rpc", "channel"], endpoint: str, part: Part, value: Any) -> None:
        hint = _hint(namespace, kind, endpoint, part)
        if hint is None or value is ABSENT:
            return
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            raise AssertionError(f"the SDK's model of {part} of {endpoint}: {error}") from None

    def complain_of_error(self, error: Any) -> None:
        try:
            msgspec.convert(error, _sdk_models.SerializedLMSExtendedError)
        except msgspec.ValidationError as reason:
            raise AssertionError(f"the SDK's model of an error: {reason}") from None


def knows(namespace: str, kind: Literal["rpc", "channel"], endpoint: str, part: Part) -> bool:
    """Whether the SDK has a model of this part."""
    return _hint(namespace, kind, endpoint, part) is not None


def check_conversation(
    frames: Iterable[tuple[Direction, str, int, Any]], *, whole: bool = True, client: bool = True, server: bool = True
) -> int:
    """Everything at once; see :func:`tests.frame_validation.conversation.check_conversation`."""
    return conversation.check_conversation(SdkWitness(), frames, whole=whole, client=client, server=server)


@cache
def _hint(namespace: str, kind: str, endpoint: str, part: Part) -> Any:
    if (endpoint, part) in _OUTDATED:
        return None
    name = f"Pseudo{namespace.capitalize()}{kind.capitalize()}{endpoint[:1].upper()}{endpoint[1:]}"
    model = getattr(_sdk_models, name, None)
    return None if model is None else get_type_hints(model).get(_ATTRIBUTES[part])
