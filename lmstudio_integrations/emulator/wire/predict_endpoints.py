"""The channels ``predict`` and ``completeRawText``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.emulator.backends import chat_template, fake_tokenizer, prediction_settings
from lmstudio_integrations.emulator.backends.limits import Limits
from lmstudio_integrations.emulator.backends.prediction_request import PredictionRequest
from lmstudio_integrations.emulator.backends.reasoning_parser import ReasoningParser
from lmstudio_integrations.emulator.backends.reply_events import CallEnd, CallFailed, Event, Finish, Progress, Text
from lmstudio_integrations.emulator.config_schema import kv_config
from lmstudio_integrations.emulator.errors import EndpointError, context_overflow, given_error
from lmstudio_integrations.emulator.models import Instance
from lmstudio_integrations.emulator.recorded_calls import recorded_prediction
from lmstudio_integrations.emulator.replies import Reply
from lmstudio_integrations.emulator.threadsafe_event import wait_until_set
from lmstudio_integrations.emulator.wire.calls import ChannelCancelled
from lmstudio_integrations.protocol.packets import SuccessPacket
from lmstudio_integrations.protocol.prediction import PredictionStats

if TYPE_CHECKING:
    from lmstudio_integrations.emulator.wire.calls import ChannelCall


_FIRST_TOKEN = 0.001  # seconds


async def predict(call: ChannelCall) -> None:
    """``predict``: an answer to a history."""
    await _Prediction(call, call.parameter["history"]["messages"], raw=False).run()


async def complete_raw_text(call: ChannelCall) -> None:
    """``completeRawText``: the continuation of a text, without a template."""
    prompt = {"role": "user", "content": [{"type": "text", "text": call.parameter["rawPrompt"]}]}
    await _Prediction(call, [prompt], raw=True).run()


class _Prediction:
    def __init__(self, call: ChannelCall, messages: list[dict[str, Any]], *, raw: bool) -> None:
        self._call = call
        self._state = call.state
        self._messages = messages
        self._raw = raw
        self._answer: list[str] = []
        self._called_tools = False
        self._began = time.perf_counter()
        self._first_token: float | None = None
        self._finish = Finish()

    async def run(self) -> None:
        parameter = self._call.parameter
        instance = self._state.models.find(parameter["modelSpecifier"], "llm")
        request = await self._prepare(instance)
        instance.touch(self._state.clock)
        instance.active += 1
        seen = {"input": request.prompt, "modelPath": instance.model.reported_path}
        self._state.log_streams.publish(
            {"type": "llm.prediction.input", **seen, "modelIdentifier": instance.identifier}
        )
        try:
            await self._generate(request)
        finally:
            instance.active -= 1

    async def _prepare(self, instance: Instance) -> PredictionRequest:
        stack = self._call.parameter["predictionConfigStack"]
        preset = self._call.parameter.get("fuzzyPresetIdentifier")
        settings = prediction_settings.read(stack, None if preset is None else self._state.preset(preset))
        raw = self._raw or settings.raw_template
        self._state.calls.predictions.append(
            recorded_prediction(instance.identifier, self._messages, stack, raw=raw, preset=preset)
        )
        if settings.system_prompt and not raw and all(message["role"] != "system" for message in self._messages):
            # Guess: LM Studio's own chats have the prompt in the configuration; for those of an SDK this is not known.
            content = [{"type": "text", "text": settings.system_prompt}]
            self._messages = [{"role": "system", "content": content}, *self._messages]
        request = PredictionRequest(instance, settings, self._messages, raw)
        self._check_files(request)
        if settings.draft_model:
            self._state.models.draft_model(settings.draft_model)
        backend = self._state.backend
        request.prompt = (
            chat_template.plain(self._messages) if raw else await backend.prompt(self._messages, settings.tools)
        )
        sequence = await backend.tokenize(request.prompt)
        available = instance.context_length
        if len(sequence) >= available:
            if settings.overflow_policy == "stopAtLimit":
                raise context_overflow(len(sequence), available)
            # Guess: half of the room stays for the answer's beginning; LM Studio's own proportions are not known.
            keep = max(1, available // 2)
            middle = settings.overflow_policy == "truncateMiddle"
            head = sequence[: keep // 2] if middle else sequence[:0]
            sequence = [*head, *sequence[len(sequence) - (keep - len(head)) :]]
        request.prompt_tokens = sequence
        return request

    def _check_files(self, request: PredictionRequest) -> None:
        images = [part for part in request.files if part["fileType"] == "image"]
        if images and not request.instance.model.vision:
            raise EndpointError("The model does not support images", suggestion="Load a model with vision.")
        for part in request.files:
            self._state.files.require(self._call.connection.client, part["identifier"])

    async def _generate(self, request: PredictionRequest) -> None:
        settings = request.settings
        room = request.instance.context_length - len(request.prompt_tokens)
        limits = Limits(
            settings.max_tokens,
            room if settings.overflow_policy == "stopAtLimit" else None,
            settings.stop_strings,
        )
        reply = await self._state.next_reply(request)
        source = self._state.backend.events(request) if reply is None else self._scripted(reply, request)
        stop_reason = await self._stream(source, limits, request)
        request.instance.cache.keep([*request.prompt_tokens, *fake_tokenizer.pieces("".join(self._answer))])
        if reply is not None and reply.stop_reason is not None and stop_reason != "userStopped":
            stop_reason = reply.stop_reason
        success = self._success(request, limits, stop_reason, reply)
        made = {"output": "".join(self._answer), "stats": success["stats"]}
        self._state.log_streams.publish(
            {"type": "llm.prediction.output", **made, "modelIdentifier": request.instance.identifier}
        )
        await self._call.send(success)

    async def _stream(
        self, source: AsyncGenerator[Progress | Event | Finish], limits: Limits, request: PredictionRequest
    ) -> str:
        """Send what the source produces, within the limits; return the stop reason."""
        try:
            with self._call.interruptible():
                # A model takes longer for its first token, so that a cancel right after the request takes effect.
                # Observed in lmstudio-js's heavy tests.
                await asyncio.sleep(_FIRST_TOKEN)
                return await self._consume(source, limits, request)
        except ChannelCancelled:
            return "userStopped"

    async def _consume(
        self, source: AsyncGenerator[Progress | Event | Finish], limits: Limits, request: PredictionRequest
    ) -> str:
        parser = _parser(request)
        async with aclosing(source) as events:
            async for event in events:
                if isinstance(event, Progress):
                    await self._call.send(event.packet())
                elif isinstance(event, Finish):
                    self._finish = event
                else:
                    await self._send_limited(parser.feed(event), limits, request)
                if limits.stop_reason is not None:
                    return limits.stop_reason
                if request.instance.unloaded:
                    return "modelUnloaded"  # Guess: how LM Studio ends a prediction whose model goes away.
        await self._send_limited(parser.finish(), limits, request)
        counted = self._finish.predicted_tokens is not None
        await self._send_events(limits.finish(end_of_sequence=not counted), request)
        return limits.stop_reason or self._finish.stop_reason or self._natural_end(request)

    def _natural_end(self, request: PredictionRequest) -> str:
        """Observed in lmstudio-js's heavy tests: an answer that calls tools ends by its end-of-sequence token, too.

        Guess: a call that was required ends the answer itself.
        """
        required = request.settings.tool_choice == "required"
        return "toolCalls" if self._called_tools and required else "eosFound"

    async def _send_limited(self, events: list[Event], limits: Limits, request: PredictionRequest) -> None:
        for event in events:
            if limits.stop_reason is None:
                await self._send_events(limits.feed(event), request)

    async def _send_events(self, events: list[Event], request: PredictionRequest) -> None:
        for event in events:
            if self._first_token is None:
                self._first_token = time.perf_counter()
            if isinstance(event, Text):
                self._answer.append(event.content)
                await self._call.send(event.packet(with_tokens=request.settings.log_probs))
            else:
                if isinstance(event, CallEnd):
                    self._called_tools = True
                if isinstance(event, CallEnd | CallFailed):
                    self._answer.append(event.raw or "")
                await self._call.send(event.packet())

    async def _scripted(self, reply: Reply, request: PredictionRequest) -> AsyncGenerator[Progress | Event | Finish]:
        """A reply as events in time: progress, pace, holds and errors included."""
        total = len(request.prompt_tokens) if reply.prompt_tokens is None else reply.prompt_tokens
        cached = request.instance.cache.reusable(request.prompt_tokens)
        cached = min(cached, max(0, total - 1)) if reply.cached_tokens is None else reply.cached_tokens
        for share in reply.progress:
            yield Progress(share, total, cached, round(share * (total - cached)))
            await asyncio.sleep(0)
        settings = request.settings
        pieces: Iterator[Event] = reply.events(
            settings.reasoning_tags,
            thinking=settings.thinking,
            reasoning_budget=settings.reasoning_budget,
            tool_call_ids=self._state.tool_call_ids,
        )
        sent = 0
        for piece in pieces:
            if reply.error is not None and sent >= reply.error_after:
                break
            if reply.hold is not None and reply.hold_after == sent:
                await wait_until_set(reply.hold)
            await asyncio.sleep(reply.pace)
            yield piece
            sent += 1
        if reply.hold is not None and (reply.hold_after is None or reply.hold_after >= sent):
            await wait_until_set(reply.hold)
        if reply.error is not None:
            raise given_error(reply.error)
        yield Finish(prompt_tokens=total)

    def _success(
        self, request: PredictionRequest, limits: Limits, stop_reason: str, reply: Reply | None
    ) -> dict[str, Any]:
        prompt_tokens = self._finish.prompt_tokens
        if prompt_tokens is None:
            scripted = None if reply is None else reply.prompt_tokens
            prompt_tokens = len(request.prompt_tokens) if scripted is None else scripted
        predicted = limits.generated if self._finish.predicted_tokens is None else self._finish.predicted_tokens
        if reply is not None and reply.predicted_tokens is not None:
            predicted = reply.predicted_tokens
        now = time.perf_counter()
        first = now if self._first_token is None else self._first_token
        stats = PredictionStats(
            stop_reason=stop_reason,
            stop_string=limits.stop_string if stop_reason == "stopStringFound" else None,
            tokens_per_second=predicted / max(now - first, 1e-6),
            num_gpu_layers=-1,
            time_to_first_token_sec=first - self._began,
            total_time_sec=now - self._began,
            prompt_tokens_count=prompt_tokens,
            predicted_tokens_count=predicted,
            total_tokens_count=prompt_tokens + predicted,
            **_drafted(request.settings.draft_model, reply),
        )
        request.instance.touch(self._state.clock)
        return SuccessPacket(
            stats=stats,
            # Observed in lmstudio-js's heavy tests: null here, though the model has been used.
            model_info=request.instance.info().model_copy(update={"last_used_time": None}),
            load_model_config=kv_config(request.instance.config),
            prediction_config=kv_config(request.settings.fields),
        ).to_wire()


def _parser(request: PredictionRequest) -> ReasoningParser:
    settings = request.settings
    return ReasoningParser(*(settings.reasoning_tags if settings.reasoning_parsing else ("", "")))


def _drafted(draft_model: str | None, reply: Reply | None) -> dict[str, Any]:
    """The statistics of a draft model: those of the reply; nothing is drafted here, and none is claimed.

    Observed in lmstudio-js's heavy tests: the total is that of accepted and rejected ones.
    """
    if not draft_model:
        return {}
    accepted, rejected = (reply and reply.drafted) or (0, 0)
    return {
        "used_draft_model_key": draft_model,
        "total_draft_tokens_count": accepted + rejected,
        "accepted_draft_tokens_count": accepted,
        "rejected_draft_tokens_count": rejected,
        "ignored_draft_tokens_count": 0,
    }
