"""Any order of opens, packets, closes, errors, warnings, cancels and losses keeps the multiplexer's invariants."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from lmstudio_integrations.client.transport.multiplexer import CLOSED, Answer, Multiplexer, PendingCall
from lmstudio_integrations.errors import LMStudioDisconnectedError, LMStudioError
from tests.packet_builders import fragment, frame, success

ENDPOINTS = ("predict", "getOrLoad", "loadModel")
FINAL = {"predict": "success", "loadModel": "success", "getOrLoad": "loadSuccess"}


class Model:
    """What a call must have received."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.expected: list[Any] = []
        self.received: list[Any] = []
        self.ends: list[Any] = []
        self.over = False
        self.pending = PendingCall(endpoint, self.received.append, self.ends.append)


class MultiplexerMachine(RuleBasedStateMachine):
    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.multiplexer = Multiplexer()
        self.models: list[Model] = []
        self.lost = False
        self.number = 0

    @initialize()
    def start(self) -> None:
        assert self.multiplexer.open_calls == 0

    def _admitted(self, model: Model, text: str) -> Model:
        sent = json.loads(text)
        assert sent["endpoint"] == model.endpoint
        assert model.pending.id not in [one.pending.id for one in self.models], "an id is used twice on a socket"
        self.models.append(model)
        if self.lost:
            model.over = True
            assert isinstance(model.ends[-1], LMStudioDisconnectedError)
        return model

    @rule(target=calls, endpoint=st.sampled_from(ENDPOINTS))
    def open_channel(self, endpoint: str) -> Model:
        model = Model(endpoint)
        return self._admitted(model, self.multiplexer.channel_create(model.pending, '{"a": 1}'))

    @rule(target=calls, with_parameter=st.booleans())
    def call_rpc(self, with_parameter: bool) -> Model:
        model = Model("tokenize")
        return self._admitted(model, self.multiplexer.rpc_call(model.pending, "{}" if with_parameter else None))

    @rule(model=calls, as_float=st.booleans())
    def packet(self, model: Model, as_float: bool) -> None:
        self.number += 1
        packet = fragment(f"piece {self.number}")
        channel_id = float(model.pending.id) if as_float else model.pending.id
        self.multiplexer.receive(frame("channelSend", channelId=channel_id, message=packet))
        if model.pending.is_channel and not model.over:
            model.expected.append(packet)

    @rule(model=calls)
    def final_packet(self, model: Model) -> None:
        packet = success() if model.endpoint != "getOrLoad" else {"type": "loadSuccess", "info": {}}
        self.multiplexer.receive(frame("channelSend", channelId=model.pending.id, message=packet))
        if model.pending.is_channel and not model.over:
            model.expected.append(packet)
            model.over = True
            assert model.ends[-1] is CLOSED

    @rule(model=calls)
    def close(self, model: Model) -> None:
        self.multiplexer.receive(frame("channelClose", channelId=model.pending.id))
        if model.pending.is_channel and not model.over:
            model.over = True
            assert model.ends[-1] is CLOSED

    @rule(
        model=calls,
        kind=st.sampled_from(["channelError", "rpcError"]),
        error=st.sampled_from([{"title": "x"}, None, 5]),
    )
    def fail(self, model: Model, kind: str, error: Any) -> None:
        key = "channelId" if kind == "channelError" else "callId"
        self.multiplexer.receive(frame(kind, **{key: model.pending.id, "error": error}))
        if model.pending.is_channel == (kind == "channelError") and not model.over:
            model.over = True
            assert isinstance(model.ends[-1], LMStudioError)

    @rule(model=calls, result=st.sampled_from([None, 1, {"tokens": []}]))
    def answer(self, model: Model, result: Any) -> None:
        self.multiplexer.receive(frame("rpcResult", callId=model.pending.id, result=result))
        if not model.pending.is_channel and not model.over:
            model.over = True
            assert model.ends[-1] == Answer(result)

    @rule(model=calls)
    def cancel(self, model: Model) -> None:
        sent = self.multiplexer.channel_send(model.pending, {"type": "cancel"})
        assert (sent is not None) == (model.pending.is_channel and not model.over)

    @rule(target=calls, model=consumes(calls))
    def forget(self, model: Model) -> Any:
        self.multiplexer.forget(model.pending)
        model.over = True
        return multiple(model)

    @rule(endpoint=st.sampled_from([*ENDPOINTS, "tokenize", "somethingElse"]), is_channel=st.booleans())
    def warn(self, endpoint: str, is_channel: bool) -> None:
        word = "channel" if is_channel else "rpcCall"
        unanswered = [
            model
            for model in self.models
            if not model.over and not model.pending.answered
            and model.pending.is_channel == is_channel and model.endpoint == endpoint
        ]  # fmt: skip
        warning = f"Received invalid parameter for {word}, endpointName = {endpoint}, parameter = …"
        self.multiplexer.receive(frame("communicationWarning", warning=warning))
        assert self.multiplexer.has_warned
        for model in unanswered:
            model.over = True
            assert isinstance(model.ends[-1], LMStudioError)

    @rule(text=st.sampled_from(["", "[]", "null", '{"type": 1}', '{"type": "channelSend", "channelId": true, "message": {}}',
                                '{"type": "channelClose", "channelId": false}', '{"type": "new"}', "\x00", "[" * 3000]))  # fmt: skip
    def garbage(self, text: str) -> None:
        self.multiplexer.receive(text)

    @rule()
    def lose(self) -> None:
        if self.lost:
            return
        self.multiplexer.connection_lost(lambda: LMStudioDisconnectedError("lost"))
        for model in self.models:
            if not model.over:
                model.over = True
                assert isinstance(model.ends[-1], LMStudioDisconnectedError)
        self.lost = True
        errors = [model.ends[-1] for model in self.models if model.ends]
        assert len({id(error) for error in errors if isinstance(error, LMStudioError)}) == sum(
            isinstance(error, LMStudioError) for error in errors
        ), "two calls share one error"

    @invariant()
    def every_call_has_its_packets_and_at_most_one_end(self) -> None:
        for model in self.models:
            assert model.received == model.expected
            assert len(model.ends) <= 1
            assert not model.ends or model.over

    @invariant()
    def open_calls_are_those_without_an_end(self) -> None:
        assert self.multiplexer.open_calls == sum(not model.over for model in self.models)


TestMultiplexerMachine = MultiplexerMachine.TestCase
TestMultiplexerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
