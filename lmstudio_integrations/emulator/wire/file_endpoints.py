"""The namespace ``files``: uploads, where they are, and the text in them."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from lmstudio_integrations.emulator.errors import EndpointError
from lmstudio_integrations.emulator.wire.calls import ChannelCall, RpcCallContext

_LIBRARY = {"library": "emulator-text", "version": "1.0.0"}
_BINARY = (".pdf", ".docx", ".doc")


async def upload(call: RpcCallContext) -> Any:
    """Keep a file for this client."""
    client, parameter = call.connection.client, call.parameter
    return call.state.files.upload(client, parameter["name"], parameter["contentBase64"])


async def local_path(call: RpcCallContext) -> Any:
    """A path as LM Studio reports it; the file is in memory only, so that there is nothing under it."""
    name = call.parameter["fileName"]
    call.state.files.require(call.connection.client, name)
    return {"path": f"/emulator/user-files/{name}"}


async def parsing_library(call: RpcCallContext) -> Any:
    """The parser that would read a file."""
    call.state.files.require(call.connection.client, call.parameter["fileIdentifier"])
    return _LIBRARY


async def parse_document(call: ChannelCall) -> None:
    """The text of an uploaded file in UTF-8. Other documents are not read."""
    identifier = call.parameter["fileIdentifier"]
    content = call.state.files.content(call.connection.client, identifier)
    if PurePath(identifier).suffix.lower() in _BINARY:
        raise EndpointError(
            f"The emulator does not parse {PurePath(identifier).suffix} documents", suggestion="Upload a text file."
        )
    with call.interruptible():
        await call.send({"type": "parserLoaded", "parser": _LIBRARY})
        for share in call.state.load_progress:
            await call.send({"type": "progress", "progress": share})
        text = content.decode("utf-8", "replace")
        await call.send({"type": "result", "content": text, "parser": _LIBRARY})
