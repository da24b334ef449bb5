"""Recorded conversations of the official SDKs with LM Studio's own server library, replayed against the emulator.

The client's frames are sent as they were recorded (with the emulator's instance references and file identifiers in
place of the recorded ones). The emulator must answer with the same kinds of messages and packets in the same order,
the same texts, stop reasons, error codes and warnings; how many fragments a text comes in is its own affair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from lmstudio_integrations.emulator import EmulatedModel, Emulator, FailedToolCall, Reply, ToolCall
from tests.emulator.raw_client import RawClient

# The recordings are of a reference server, which was written before these were seen in the suites of LM Studio's SDKs.
_OBSERVED = {"toolCalls": "eosFound", "generic.identifierNotFound": "generic.noModelMatchingQuery"}
TRANSCRIPTS = Path(__file__).resolve().parents[2].parent / "shared" / "protocol" / "transcripts"
FILES = sorted(TRANSCRIPTS.glob("*.jsonl"))
TOKEN = "sk-lm-AbCd1234:abcdefghij0123456789"
MODELS = (
    EmulatedModel("alpha-7b", loaded=True, vision=True),
    EmulatedModel("beta-3b", context_length=2048, max_context_length=8192, tools=False),
    EmulatedModel("refserver/variant-12b"),
    EmulatedModel("text-embedding-gamma", "embedding", loaded=True, context_length=2048, dimensions=16),
)

pytestmark = pytest.mark.timeout(30)


def _recording(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _kind(frame: Any) -> tuple[Any, ...]:
    """What a server frame is, without its contents."""
    if "success" in frame and "type" not in frame:
        return ("authenticated", frame["success"])
    number = frame.get("channelId", frame.get("callId"))
    extra: Any = None
    match frame["type"]:
        case "channelSend":
            extra = frame["message"]["type"]
            if extra == "fragment":
                extra = frame["message"]["fragment"]["reasoningType"]
        case "channelError" | "rpcError":
            code = (frame["error"].get("displayData") or {}).get("code")
            extra = _OBSERVED.get(str(code), code)
        case "communicationWarning":
            extra = frame["kind"]
        case "rpcResult":
            extra = "result" in frame
    return (frame["type"], number, extra)


def _collapsed(frames: list[Any]) -> list[tuple[Any, ...]]:
    kinds: list[tuple[Any, ...]] = []
    for frame in frames:
        if not kinds or kinds[-1] != _kind(frame):
            kinds.append(_kind(frame))
    return kinds


def _facts(frames: list[Any]) -> dict[Any, Any]:
    """Contents that must be equal: visible text, reasoning, tool calls, stop reasons; by channel."""
    facts: dict[Any, Any] = {}
    for frame in frames:
        packet = frame.get("message") or {}
        channel = frame.get("channelId")
        match packet.get("type"):
            case "fragment":
                key = (channel, packet["fragment"]["reasoningType"])
                facts[key] = facts.get(key, "") + packet["fragment"]["content"]
            case "toolCallGenerationEnd":
                request = packet["toolCallRequest"]
                facts.setdefault((channel, "calls"), []).append(
                    (request["name"], request.get("arguments"), "id" in request)
                )
            case "success" if "stats" in packet:
                reason = packet["stats"]["stopReason"]
                facts[channel, "stop"] = (_OBSERVED.get(reason, reason), packet["stats"].get("stopString"))
    return facts


class _Player:
    """Plays the client's side of one recording."""

    def __init__(self, server: Emulator, recording: list[dict[str, Any]]) -> None:
        self.server = server
        self.recording = recording
        self.sockets: dict[str, RawClient] = {}
        self.expected: dict[str, list[Any]] = {}
        self.received: dict[str, list[Any]] = {}
        self.conversations: list[tuple[list[Any], list[Any]]] = []
        self.renamed: dict[str, str] = {}
        self.left: set[str] = set()

    def play(self) -> None:
        """Send what the client sent, each frame once everything that came before it has come again."""
        for line in self.recording:
            path, frame = line["path"], line["frame"]
            if line["dir"] == "s2c" and frame.get("_transport") == "close":
                self._end(path, drain=path not in self.left)
            elif frame.get("_transport") == "close":
                self.left.add(path)
            elif line["dir"] == "s2c":
                self.expected[path].append(frame)
            else:
                if "authVersion" in frame:
                    self._open(path)
                for each in self.sockets:
                    self._catch_up(each)
                self._prepare(frame)
                self.sockets[path].send(self._translated(frame))
        for path in list(self.sockets):
            self._end(path)

    def _open(self, path: str) -> None:
        self._end(path)
        self.left.discard(path)
        self.sockets[path] = RawClient(self.server, path, authenticate=False)
        self.expected[path], self.received[path] = [], []
        self.conversations.append((self.expected[path], self.received[path]))

    def _end(self, path: str, *, drain: bool = False) -> None:
        """Leave a socket; ``drain`` if it was the server that ended it."""
        if path in self.sockets:
            self._catch_up(path)
            while drain:
                try:
                    self.received[path].append(self.sockets[path].receive())
                except ConnectionClosed:
                    break
            self.sockets.pop(path).close()

    def _catch_up(self, path: str) -> None:
        """Read until everything that was expected so far has come (and the channels that ended have ended)."""
        expected, received = self.expected[path], self.received[path]
        wanted = _collapsed(expected)
        while _collapsed(received)[: len(wanted)] != wanted and len(_collapsed(received)) < len(wanted):
            try:
                frame = self.sockets[path].receive()
            except ConnectionClosed:
                return
            received.append(frame)
            self._learn(expected, frame)

    def _learn(self, expected: list[Any], frame: Any) -> None:
        """Note under which name the emulator knows what the recording called otherwise."""
        for key in ("instanceReference", "identifier"):
            theirs = re.findall(rf'"{key}": "([^"]+)"', json.dumps([_only(one, frame) for one in expected]))
            ours = re.findall(rf'"{key}": "([^"]+)"', json.dumps(frame))
            if key == "identifier" and "sizeBytes" not in (frame.get("result") or ()):
                continue
            for old, new in zip(dict.fromkeys(theirs), dict.fromkeys(ours), strict=False):
                self.renamed[old] = new

    def _translated(self, frame: Any) -> str:
        text = json.dumps(frame)
        for old, new in self.renamed.items():
            text = text.replace(json.dumps(old), json.dumps(new))
        return text

    def _prepare(self, frame: Any) -> None:
        if frame.get("endpoint") in ("predict", "completeRawText"):
            reply = _reply(self.server, frame["creationParameter"])
            if reply is not None:
                self.server.script(reply)


def _only(one: Any, frame: Any) -> Any:
    """The recorded counterpart of a frame: the one that answers the same call or channel."""
    same = all(one.get(key) == frame.get(key) for key in ("type", "callId", "channelId"))
    return one if same else None


def _reply(server: Emulator, parameter: dict[str, Any]) -> Reply | None:
    """The reply of the recorded server, which directives in the prompt describe."""
    if "history" in parameter:
        messages = parameter["history"]["messages"]
        text = "".join(part.get("text", "") for part in messages[-1]["content"])
    else:
        messages, text = [{"role": "user"}], parameter["rawPrompt"]
    if messages[-1]["role"] == "tool":
        contents = [json.loads(json.dumps(part["content"])) for part in messages[-1]["content"]]
        return Reply(_spoken(contents))
    directives = dict(re.findall(r"\[\[(\w+)=?([^\]]*)\]\]", text))
    if "nosuccess" in directives:
        server.faults.add("no_success")
    if "drop" in directives:
        server.faults.add("drop", after=3)
    if "toolfail" in directives:
        raw = '<tool_call>{"name":"add","arguments":{"a":1.5}}</tool_call>'
        return Reply(failed_tool_call=FailedToolCall("add", '{"a":1.5}', raw_content=raw))
    if "tool" in directives:
        return Reply(tool_calls=_calls(parameter, directives))
    if "say" in directives or "reasoning" in directives:
        return Reply(directives.get("say", ""), reasoning="Let me think about it." if "reasoning" in directives else "")
    if "n" in directives:
        words = [f"w{number}" if number == 0 else f" w{number}" for number in range(int(directives["n"]))]
        pace = int(directives.get("delay_ms", 0)) / 1000
        failing: dict[str, Any] = (
            {"error": "Simulated mid-stream failure", "error_after": 3} if "error" in directives else {}
        )
        return Reply(fragments=words, pace=pace, **failing)
    structured = "llm.prediction.structured" in json.dumps(parameter)
    return None if structured else Reply(f"Echo: {text}")


def _spoken(contents: list[str]) -> str:
    plain = [json.loads(content) if content.startswith('"') else content for content in contents]
    return "Tool said: " + " | ".join(plain)


def _calls(parameter: dict[str, Any], directives: dict[str, str]) -> list[ToolCall]:
    fields = parameter["predictionConfigStack"]["layers"][0]["config"]["fields"]
    tools = next(field["value"]["tools"] for field in fields if field["key"] == "llm.prediction.tools")
    made = []
    for tool in tools[: int(directives["tool"] or 1)]:
        function = tool["function"]
        sample = {"number": 1.5, "integer": 7, "string": "sample"}
        arguments = {name: sample[each["type"]] for name, each in function["parameters"]["properties"].items()}
        name = "no_such_tool" if "badname" in directives else function["name"]
        given = {"nonsense": 1} if "badargs" in directives else arguments
        made.append(
            ToolCall(name, given, id=None if "noid" in directives else "auto", unoffered="badname" in directives)
        )
    return made


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    token = TOKEN if request.node.callspec.params["path"].name.startswith(("auth_",)) else None
    with Emulator(MODELS, presets=("ref-preset",), api_token=token) as running:
        yield running


@pytest.mark.skipif(not FILES, reason="the recorded conversations (../shared/protocol) are not beside this checkout")
@pytest.mark.invalid_frames
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".jsonl"))
def test_emulator_answers_as_recorded(server: Emulator, path: Path) -> None:
    player = _Player(server, _recording(path))
    player.play()
    assert player.conversations
    for expected, received in player.conversations:
        assert _collapsed(received) == _collapsed(expected)
        if not path.name.startswith(("structured", "cancel", "badargs.js")):
            assert _facts(received) == _facts(expected)
        else:
            stops = [fact for key, fact in _facts(received).items() if key[1] == "stop"]
            assert stops == [fact for key, fact in _facts(expected).items() if key[1] == "stop"]
