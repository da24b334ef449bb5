"""Mistakes of users: every line with the comment ``MISTAKE`` must be flagged by pyright, basedpyright and mypy.

LlamaIndex's decorators hide the keywords of ``chat`` and ``complete`` from mypy: ``MISTAKE for pyright``.
"""

from __future__ import annotations

from pydantic import BaseModel

import lmstudio_integrations as lms
from lmstudio_integrations import AsyncClient, Chat, Client
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings, LMStudioLLM
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding


class Sailing(BaseModel):
    hour: int


def no_argument() -> None: ...


def two_arguments(one: float, two: float) -> None: ...


def client_alone() -> None:
    model = lms.llm("qwen/qwen3-4b", config={"contextLenght": 8192})  # MISTAKE
    lms.llm("qwen/qwen3-4b", config={"contextLength": "8192"})  # MISTAKE
    model.respond("Why?", config={"maxToken": 3})  # MISTAKE
    model.respond("Why?", config={"temperature": "hot"})  # MISTAKE
    model.respond(7)  # MISTAKE
    model.respond("Why?", response_format=7)  # MISTAKE
    model.respond("Why?", response_format=dict[str, int]()).parsed_as(7)  # MISTAKE
    model.respond("Why?", response_format=Sailing).parsed["hour"]  # MISTAKE
    model.respond("Why?", temperature=0.5)  # MISTAKE
    model.respond("Why?", on_first_token=two_arguments)  # MISTAKE
    model.respond_stream("Why?", on_prompt_processing_progress=no_argument)  # MISTAKE
    model.complete("Why?", config={"stop": ["x"]})  # MISTAKE
    model.act("Why?", [7])  # MISTAKE
    model.act("Why?", [no_argument], guard_tool_call=no_argument)  # MISTAKE
    model.act("Why?", [no_argument], on_round_started=print)  # MISTAKE
    Chat().add_user_message(7)  # MISTAKE
    Client(timeout="soon")  # MISTAKE
    with Client() as client:
        client.llm.load_new_instance("qwen/qwen3-4b", config={"gpu": {"ratios": 0.5}})  # MISTAKE
        client.llm.model("qwen/qwen3-4b", ttl="1h")  # MISTAKE
        client.embedding.model("nomic", config={"contextlength": 512})  # MISTAKE
        client.embedding.load_new_instance("nomic", config={"flashAttention": True})  # MISTAKE


async def client_awaiting() -> None:
    async with AsyncClient() as client:
        model = await client.llm.model("qwen/qwen3-4b", config={"contextLenght": 1})  # MISTAKE
        await model.respond("Why?", config={"maxToken": 3})  # MISTAKE
        await model.respond("Why?", on_first_token=two_arguments)  # MISTAKE


def langchain() -> None:
    ChatLMStudio(modle="x")  # MISTAKE
    ChatLMStudio(model=7)  # MISTAKE
    ChatLMStudio(model="x", temperature="hot")  # MISTAKE
    ChatLMStudio(model="x", load_config={"gpus": 1})  # MISTAKE
    ChatLMStudio(model="x", prediction_config={"topKSamplin": 3})  # MISTAKE
    ChatLMStudio(model="x", on_prompt_progress=no_argument)  # MISTAKE
    ChatLMStudio(model="x", on_first_token=two_arguments)  # MISTAKE
    ChatLMStudio(model="x").invoke("Why?", temprature=0.5)  # MISTAKE
    ChatLMStudio(model="x").invoke("Why?", temperature="hot")  # MISTAKE
    ChatLMStudio(model="x").stream("Why?", max_token=5)  # MISTAKE
    LMStudioLLM(model="x", max_token=5)  # MISTAKE
    LMStudioLLM(model="x").invoke("Once", max_token=5)  # MISTAKE
    LMStudioEmbeddings(model="x", load_config={"numExperts": 3})  # MISTAKE


def llama_index() -> None:
    LMStudio(modle="x")  # MISTAKE
    LMStudio(model="x", temperature="hot")  # MISTAKE
    LMStudio(model="x", load_config={"gpus": 1})  # MISTAKE
    LMStudio(model="x", additional_kwargs={"topKSamplin": 3})  # MISTAKE
    LMStudio(model="x").complete("Why?", max_token=5)  # MISTAKE for pyright
    LMStudio(model="x").stream_chat([], temperature="hot")  # MISTAKE for pyright
    LMStudioEmbedding(model="x", batch=3)  # MISTAKE
    LMStudioEmbedding(model="x", load_config={"numExperts": 3})  # MISTAKE
