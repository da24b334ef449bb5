"""The namespace ``diagnostics``: the log of what models read and write, as ``lms log stream`` shows it."""

from __future__ import annotations

from lmstudio_integrations.emulator.wire.calls import ChannelCall, ChannelCancelled


async def stream_logs(call: ChannelCall) -> None:
    """``llm.prediction.input`` with the prompt after the template, and ``llm.prediction.output``, until it is stopped.

    LM Studio has events of its server and its engines, too; there are none here.
    """
    with call.state.log_streams.opened() as events:
        try:
            with call.interruptible():
                while True:
                    await call.send({"type": "log", "log": await events.get()})
        except ChannelCancelled:
            pass
