"""The ways into the package: what a program may call, and what it sees. Each is run on a fresh object."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lmstudio_integrations import AsyncClient, Client, Timeout

from .server import ARGUMENTS, CHAT, EMBEDDER, TEXT, TOOL, vector

__all__ = ["TEXTS", "WAYS", "Seen", "Way"]

TEXTS = tuple(f"text {number}" for number in range(8))
_VECTORS = [vector(text) for text in TEXTS]
_DEFINITION = {
    "type": "function",
    "function": {
        "name": TOOL,
        "description": "Looks something up.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}},
            "required": ["query"],
        },
    },
}


@dataclass
class Seen:
    """What a program saw: pieces of a stream as they came, the answer, and how it ended."""

    pieces: list[str] = field(default_factory=list)
    answer: Any = None
    error: BaseException | None = None

    def take(self, piece: str) -> None:
        """A piece of a stream."""
        self.pieces.append(piece)


@dataclass(frozen=True)
class Way:
    """One way in. ``kind``: chat, tools, embed, load or rpc. ``run(url, limits, seen)`` fills in ``seen``.

    ``answer`` is the text of a chat, ``(text, name, arguments)`` with tools, the vectors, an identifier, or a number.
    """

    name: str
    kind: str
    run: Callable[[str, Timeout, Seen], None]
    streams: bool = False

    @property
    def expected(self) -> Any:
        """The exact answer."""
        answers: dict[str, Any] = {
            "chat": TEXT,
            "tools": (TEXT, TOOL, ARGUMENTS),
            "embed": _VECTORS,
            "load": CHAT,
            "rpc": 7,
        }
        return answers[self.kind]


# The client


def _client(limits: Timeout, url: str) -> Any:
    return Client(url, timeout=limits).llm.just_in_time(CHAT)


def _aclient(limits: Timeout, url: str) -> Any:
    return AsyncClient(url, timeout=limits).llm.just_in_time(CHAT)


def _respond(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = _client(limits, url).respond("Hi").content


def _respond_stream(url: str, limits: Timeout, seen: Seen) -> None:
    with _client(limits, url).respond_stream("Hi") as stream:
        for piece in stream:
            seen.take(piece.content)
        seen.answer = stream.result().content


def _respond_events(url: str, limits: Timeout, seen: Seen) -> None:
    stream = _client(limits, url).respond_stream("Hi")
    for event in stream.events():
        if type(event).__name__ == "Fragment":
            seen.take(event.content)
    seen.answer = stream.result().content


def _complete(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = _client(limits, url).complete("Hi").content


def _client_tools(url: str, limits: Timeout, seen: Seen) -> None:
    result = _client(limits, url).respond("Hi", tools=[_DEFINITION])
    (call,) = result.tool_calls
    seen.answer = (result.content, call.name, call.arguments)


def _act_tool(called: list[dict[str, Any]]) -> Callable[..., str]:
    def look_up(query: str, limit: int = 1) -> str:
        """Looks something up."""
        called.append({"query": query, "limit": limit})
        return "found"

    return look_up


def _act(url: str, limits: Timeout, seen: Seen) -> None:
    called: list[dict[str, Any]] = []
    result = _client(limits, url).act("Hi", [_act_tool(called)])
    if result.rounds == 2 and len(called) == 1 and result.content == TEXT:
        seen.answer = (result.results[0].content, TOOL, called[0])


def _embed(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = Client(url, timeout=limits).embedding.just_in_time(EMBEDDER).embed(TEXTS)


def _load(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = Client(url, timeout=limits).llm.model(CHAT).identifier


def _count(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = _client(limits, url).count_tokens("Hi")


def _awaiting(coroutine: Callable[[str, Timeout, Seen], Any]) -> Callable[[str, Timeout, Seen], None]:
    return lambda url, limits, seen: asyncio.run(coroutine(url, limits, seen))


async def _arespond(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = (await _aclient(limits, url).respond("Hi")).content


async def _arespond_stream(url: str, limits: Timeout, seen: Seen) -> None:
    async with await _aclient(limits, url).respond_stream("Hi") as stream:
        async for piece in stream:
            seen.take(piece.content)
        seen.answer = (await stream.result()).content


async def _acomplete(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = (await _aclient(limits, url).complete("Hi")).content


async def _aclient_tools(url: str, limits: Timeout, seen: Seen) -> None:
    result = await _aclient(limits, url).respond("Hi", tools=[_DEFINITION])
    (call,) = result.tool_calls
    seen.answer = (result.content, call.name, call.arguments)


async def _aact(url: str, limits: Timeout, seen: Seen) -> None:
    called: list[dict[str, Any]] = []
    result = await _aclient(limits, url).act("Hi", [_act_tool(called)])
    if result.rounds == 2 and len(called) == 1 and result.content == TEXT:
        seen.answer = (result.results[0].content, TOOL, called[0])


async def _aembed(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = await AsyncClient(url, timeout=limits).embedding.just_in_time(EMBEDDER).embed(TEXTS)


async def _aload(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = (await AsyncClient(url, timeout=limits).llm.model(CHAT)).identifier


async def _acount(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = await _aclient(limits, url).count_tokens("Hi")


# LangChain


def _langchain(url: str, limits: Timeout) -> Any:
    from lmstudio_integrations.langchain import ChatLMStudio

    return ChatLMStudio(model=CHAT, base_url=url, timeout=limits)


def _langchain_embeddings(url: str, limits: Timeout) -> Any:
    from lmstudio_integrations.langchain import LMStudioEmbeddings

    return LMStudioEmbeddings(model=EMBEDDER, base_url=url, timeout=limits)


def _invoke(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = _langchain(url, limits).invoke("Hi").text


def _stream(url: str, limits: Timeout, seen: Seen) -> None:
    for chunk in _langchain(url, limits).stream("Hi"):
        seen.take(chunk.text)
    seen.answer = "".join(seen.pieces)


def _lc_tools(url: str, limits: Timeout, seen: Seen) -> None:
    message = _langchain(url, limits).bind_tools([_DEFINITION]).invoke("Hi")
    (call,) = message.tool_calls
    seen.answer = (message.text, call["name"], call["args"])


def _lc_tools_stream(url: str, limits: Timeout, seen: Seen) -> None:
    whole: Any = None
    for chunk in _langchain(url, limits).bind_tools([_DEFINITION]).stream("Hi"):
        seen.take(chunk.text)
        whole = chunk if whole is None else whole + chunk
    (call,) = whole.tool_calls
    seen.answer = (whole.text, call["name"], call["args"])


def _lc_llm(url: str, limits: Timeout, seen: Seen) -> None:
    from lmstudio_integrations.langchain import LMStudioLLM

    seen.answer = LMStudioLLM(model=CHAT, base_url=url, timeout=limits).invoke("Hi")


def _lc_embed(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = _langchain_embeddings(url, limits).embed_documents(list(TEXTS))


async def _ainvoke(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = (await _langchain(url, limits).ainvoke("Hi")).text


async def _astream(url: str, limits: Timeout, seen: Seen) -> None:
    async for chunk in _langchain(url, limits).astream("Hi"):
        seen.take(chunk.text)
    seen.answer = "".join(seen.pieces)


async def _lc_atools(url: str, limits: Timeout, seen: Seen) -> None:
    message = await _langchain(url, limits).bind_tools([_DEFINITION]).ainvoke("Hi")
    (call,) = message.tool_calls
    seen.answer = (message.text, call["name"], call["args"])


async def _lc_aembed(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = await _langchain_embeddings(url, limits).aembed_documents(list(TEXTS))


# LlamaIndex


def _llama(url: str, limits: Timeout) -> Any:
    from lmstudio_integrations.llama_index import LMStudio

    return LMStudio(model=CHAT, base_url=url, timeout=limits, context_window=4096, is_function_calling_model=True)


def _llama_embedding(url: str, limits: Timeout) -> Any:
    from lmstudio_integrations.llama_index import LMStudioEmbedding

    return LMStudioEmbedding(model_name=EMBEDDER, base_url=url, timeout=limits, embed_batch_size=len(TEXTS))


def _messages() -> Any:
    from llama_index.core.llms import ChatMessage

    return [ChatMessage(role="user", content="Hi")]


def _tool() -> Any:
    from llama_index.core.tools import FunctionTool

    def look_up(query: str, limit: int = 1) -> str:
        """Looks something up."""
        return f"{limit} of {query}"

    return FunctionTool.from_defaults(look_up)


def _chat(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = _llama(url, limits).chat(_messages()).message.content


def _stream_chat(url: str, limits: Timeout, seen: Seen) -> None:
    for response in _llama(url, limits).stream_chat(_messages()):
        seen.take(response.delta or "")
        seen.answer = response.message.content if (response.raw or {}).get("stats") else None


def _li_complete(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = _llama(url, limits).complete("Hi").text


def _li_tools(url: str, limits: Timeout, seen: Seen) -> None:
    llm = _llama(url, limits)
    response = llm.chat_with_tools([_tool()], user_msg="Hi")
    (call,) = llm.get_tool_calls_from_response(response)
    seen.answer = (response.message.content, call.tool_name, call.tool_kwargs)


def _li_embed(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = _llama_embedding(url, limits).get_text_embedding_batch(list(TEXTS))


async def _achat(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = (await _llama(url, limits).achat(_messages())).message.content


async def _astream_chat(url: str, limits: Timeout, seen: Seen) -> None:
    async for response in await _llama(url, limits).astream_chat(_messages()):
        seen.take(response.delta or "")
        seen.answer = response.message.content if (response.raw or {}).get("stats") else None


async def _li_atools(url: str, limits: Timeout, seen: Seen) -> None:
    llm = _llama(url, limits)
    response = await llm.achat_with_tools([_tool()], user_msg="Hi")
    (call,) = llm.get_tool_calls_from_response(response)
    seen.answer = (response.message.content, call.tool_name, call.tool_kwargs)


async def _li_aembed(url: str, limits: Timeout, seen: Seen) -> None:
    seen.answer = await _llama_embedding(url, limits).aget_text_embedding_batch(list(TEXTS))


WAYS: tuple[Way, ...] = (
    Way("Client.respond", "chat", _respond),
    Way("Client.respond_stream", "chat", _respond_stream, streams=True),
    Way("Client.respond_stream.events", "chat", _respond_events, streams=True),
    Way("Client.complete", "chat", _complete),
    Way("Client.respond with tools", "tools", _client_tools),
    Way("Client.act", "tools", _act),
    Way("Client.embed", "embed", _embed),
    Way("Client.llm.model", "load", _load),
    Way("Client.count_tokens", "rpc", _count),
    Way("AsyncClient.respond", "chat", _awaiting(_arespond)),
    Way("AsyncClient.respond_stream", "chat", _awaiting(_arespond_stream), streams=True),
    Way("AsyncClient.complete", "chat", _awaiting(_acomplete)),
    Way("AsyncClient.respond with tools", "tools", _awaiting(_aclient_tools)),
    Way("AsyncClient.act", "tools", _awaiting(_aact)),
    Way("AsyncClient.embed", "embed", _awaiting(_aembed)),
    Way("AsyncClient.llm.model", "load", _awaiting(_aload)),
    Way("AsyncClient.count_tokens", "rpc", _awaiting(_acount)),
    Way("ChatLMStudio.invoke", "chat", _invoke),
    Way("ChatLMStudio.stream", "chat", _stream, streams=True),
    Way("ChatLMStudio.bind_tools.invoke", "tools", _lc_tools),
    Way("ChatLMStudio.bind_tools.stream", "tools", _lc_tools_stream, streams=True),
    Way("LMStudioLLM.invoke", "chat", _lc_llm),
    Way("LMStudioEmbeddings.embed_documents", "embed", _lc_embed),
    Way("ChatLMStudio.ainvoke", "chat", _awaiting(_ainvoke)),
    Way("ChatLMStudio.astream", "chat", _awaiting(_astream), streams=True),
    Way("ChatLMStudio.bind_tools.ainvoke", "tools", _awaiting(_lc_atools)),
    Way("LMStudioEmbeddings.aembed_documents", "embed", _awaiting(_lc_aembed)),
    Way("LMStudio.chat", "chat", _chat),
    Way("LMStudio.stream_chat", "chat", _stream_chat, streams=True),
    Way("LMStudio.complete", "chat", _li_complete),
    Way("LMStudio.chat_with_tools", "tools", _li_tools),
    Way("LMStudioEmbedding.get_text_embedding_batch", "embed", _li_embed),
    Way("LMStudio.achat", "chat", _awaiting(_achat)),
    Way("LMStudio.astream_chat", "chat", _awaiting(_astream_chat), streams=True),
    Way("LMStudio.achat_with_tools", "tools", _awaiting(_li_atools)),
    Way("LMStudioEmbedding.aget_text_embedding_batch", "embed", _awaiting(_li_aembed)),
)
