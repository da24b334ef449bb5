"""A client of a language server: what an editor offers at a place in a program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

__all__ = ["LanguageServer"]

_START = "import sys; from basedpyright.langserver import main; sys.exit(main())"


class LanguageServer:
    r"""basedpyright's language server, in a folder of its own.

    Pylance, the language server of Visual Studio Code, is made from the same sources::

        with LanguageServer(folder, [root]) as server:
            server.keywords("import os\nos.getenv(")
    """

    def __init__(self, folder: Path, search_paths: list[Path]) -> None:
        self._folder = folder
        self._search_paths = search_paths
        self._count = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        folders = [{"uri": self._folder.as_uri(), "name": self._folder.name}]
        capabilities = {"workspace": {"configuration": True}}
        self._ask("initialize", {"processId": None, "workspaceFolders": folders, "capabilities": capabilities})
        self._send({"method": "initialized", "params": {}})
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()

    def keywords(self, text: str) -> list[str]:
        """The keyword arguments that are offered at the end of ``text``, within a call."""
        return [label[:-1] for label in self._labels(text, ")") if label.endswith("=")]

    def keys(self, text: str) -> list[str]:
        """The keys of a dictionary that are offered at the end of ``text``, after a quotation mark within a call."""
        return [label.strip('"') for label in self._labels(text, '"})')]

    def _labels(self, text: str, rest: str) -> list[str]:
        self._count += 1
        uri = (self._folder / f"program{self._count}.py").as_uri()
        document = {"uri": uri, "languageId": "python", "version": 1, "text": f"{text}{rest}\n"}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        lines = text.splitlines()
        position = {"line": len(lines) - 1, "character": len(lines[-1])}
        items = self._ask("textDocument/completion", {"textDocument": {"uri": uri}, "position": position})
        return [item["label"] for item in items["items"]]

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        self._count += 1
        number = self._count
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = self._receive()
            if "method" not in message and message.get("id") == number:
                return message["result"]
            if "method" in message and "id" in message:  # the server's own question
                self._send({"id": message["id"], "result": self._answer(message)})

    def _answer(self, message: dict[str, Any]) -> Any:
        if message["method"] != "workspace/configuration":
            return None
        paths = [str(path) for path in self._search_paths]
        settings = {
            "python": {"pythonPath": sys.executable},
            "basedpyright.analysis": {"extraPaths": paths, "diagnosticMode": "openFilesOnly"},
        }
        return [settings.get(item.get("section", ""), {}) for item in message["params"]["items"]]

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        length = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the language server ended"
        message: dict[str, Any] = json.loads(self._process.stdout.read(length))
        return message
