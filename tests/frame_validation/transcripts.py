"""RecordedFrame frames of the official SDKs against LM Studio's own server library, one JSON document per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, NamedTuple

from tests.frame_validation.shared import TRANSCRIPTS_PATH

Direction = Literal["c2s", "s2c"]


class Frame(NamedTuple):
    """``connection`` counts the sockets of a recording; ``frame`` is the JSON document."""

    direction: Direction
    namespace: str
    connection: int
    frame: Any


def names() -> list[str]:
    """``["act.js20", …]``; empty without the recordings."""
    return sorted(path.name.removesuffix(".jsonl") for path in TRANSCRIPTS_PATH.glob("*.jsonl"))


@cache
def load(name: str) -> tuple[Frame, ...]:
    """The frames of one recording in order, without the lines that note the end of a socket."""
    return tuple(_frames(name))


def _frames(name: str) -> Iterator[Frame]:
    """A socket begins with an authentication; a recording has one socket per path at a time."""
    current: dict[str, int] = {}
    opened = 0
    for line in (TRANSCRIPTS_PATH / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        frame, path = entry["frame"], entry["path"]
        if "_transport" in frame:
            continue
        if "authVersion" in frame:
            opened += 1
            current[path] = opened
        yield Frame(entry["dir"], path.strip("/"), current[path], frame)


def client_frames(name: str, kind: str, endpoint: str | None = None) -> list[Any]:
    """What a recording's client sent: the frames of one ``type`` and, if given, one endpoint."""
    return [
        item.frame
        for item in load(name)
        if item.direction == "c2s"
        and item.frame.get("type") == kind
        and (endpoint is None or item.frame.get("endpoint") == endpoint)
    ]


def settings(name: str, endpoint: str) -> list[dict[str, Any]]:
    """For each channel of ``endpoint`` that a recording opened: key to value of the layer ``apiOverride``."""
    found: list[dict[str, Any]] = []
    for frame in client_frames(name, "channelCreate", endpoint):
        parameter = frame["creationParameter"]
        stack = parameter.get("predictionConfigStack") or parameter.get("loadConfigStack")
        found += [
            {field["key"]: field["value"] for field in layer["config"]["fields"]}
            for layer in stack["layers"]
            if layer["layerName"] == "apiOverride"
        ]
    return found
