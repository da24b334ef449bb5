"""A web service with FastAPI: answers stream as server-sent events, and a browser that goes away cancels its answer.

Run it with `.uv/bin/uv run --no-dev --extra all --group examples cookbook/fastapi_app.py`.

Then, in another terminal (the program prints its address)::

    curl -N http://127.0.0.1:8000/chat -H 'Content-Type: application/json' \
        -d '{"messages": [{"role": "user", "content": "What is a lighthouse for?"}]}'

The events are ``load`` and ``prompt`` (progress, 0.0 to 1.0), ``reasoning`` and ``text`` (pieces of the answer), and at
the end ``done`` with the statistics, or ``error``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import uvicorn
from _server import lm_studio_or_emulator
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from lmstudio_integrations import AsyncClient, AsyncLLM, Fragment, LMStudioError, LoadProgress, PromptProgress

if TYPE_CHECKING:
    from lmstudio_integrations import LlmPredictionConfigDict


class Message(BaseModel):
    """One turn of the conversation."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1, max_length=20_000)


class Question(BaseModel):
    """What the browser sends: the conversation, ending with the user's turn. The limits protect the server."""

    messages: list[Message] = Field(min_length=1, max_length=100)
    temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=500, ge=1, le=4000)


def event(name: str, data: object) -> str:
    """A server-sent event. JSON has no line breaks of its own, so one ``data`` line is enough."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


async def answer(model: AsyncLLM, question: Question) -> AsyncIterator[str]:
    """The events of one answer.

    If the browser disconnects, Starlette cancels the task that iterates here. That closes the stream, and LM Studio
    stops generating, even in the middle of a long prompt that has not produced any text yet.
    """
    config: LlmPredictionConfigDict = {"temperature": question.temperature, "maxTokens": question.max_tokens}
    try:
        async with await model.respond_stream(question.model_dump(include={"messages"}), config=config) as stream:
            async for happened in stream.events():
                match happened:
                    case LoadProgress(progress=share):
                        yield event("load", share)
                    case PromptProgress(progress=share):
                        yield event("prompt", share)
                    case Fragment(reasoning_type="none"):
                        yield event("text", happened.content)
                    case Fragment(reasoning_type="reasoning"):
                        yield event("reasoning", happened.content)
            result = await stream.result()
    except LMStudioError as error:
        # The status 200 has gone out already, so errors are events, too.
        yield event("error", {"type": type(error).__name__, "message": str(error)})
        return
    stats = result.stats
    yield event(
        "done",
        {
            "finish_reason": result.finish_reason,
            "prompt_tokens": stats.prompt_tokens_count,
            "generated_tokens": stats.predicted_tokens_count,
            "time_to_first_token": stats.time_to_first_token_sec,
            "tokens_per_second": stats.tokens_per_second,
        },
    )


def create_app(url: str | None, chat_model: str) -> FastAPI:
    """The service. All requests share one client, and so its connections; each has a stream of its own."""
    client = AsyncClient(url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield

    app = FastAPI(title="Chat with LM Studio", lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Which LM Studio answers, and what is loaded there."""
        version = await client.system.version()
        loaded = [model.identifier for model in await client.llm.list_loaded()]
        return {"version": version.version, "build": version.build, "loaded": loaded}

    @app.post("/chat")
    async def chat(question: Question) -> StreamingResponse:
        """The answer, as server-sent events."""
        model = client.llm.just_in_time(chat_model)
        # A reverse proxy (nginx) must not collect the pieces.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(answer(model, question), media_type="text/event-stream", headers=headers)

    return app


def main() -> None:
    """Serve on this machine, without a login: put one in front before others can reach it."""
    parser = argparse.ArgumentParser(description="A chat service over LM Studio.")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    options = parser.parse_args()
    with lm_studio_or_emulator() as server:
        uvicorn.run(create_app(server.url, server.chat_model), host="127.0.0.1", port=options.port)


if __name__ == "__main__":
    main()
