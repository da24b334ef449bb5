"""Every public name that ``good.py`` does not use, in the way that its users write it; the checkers accept every line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from llama_index.core import llms
from llama_index.core.workflow import StopEvent

import lmstudio_integrations as lms
from lmstudio_integrations import emulator, langchain, llama_index

VERSION: str = lms.__version__
ERRORS: dict[type[lms.LMStudioError], str] = {
    lms.LMStudioAuthenticationError: "token",
    lms.LMStudioCancelledError: "cancelled",
    lms.LMStudioConnectionError: "network",
    lms.LMStudioContextOverflowError: "context",
    lms.LMStudioDisconnectedError: "network",
    lms.LMStudioIncompleteError: "incomplete",
    lms.LMStudioInvalidRequestError: "request",
    lms.LMStudioLimitError: "limit",
    lms.LMStudioModelLoadError: "model",
    lms.LMStudioModelNotFoundError: "model",
    lms.LMStudioModelUnloadedError: "model",
    lms.LMStudioPresetNotFoundError: "preset",
    lms.LMStudioProtocolError: "protocol",
    lms.LMStudioRequestRejectedError: "request",
    lms.LMStudioResourcesError: "memory",
    lms.LMStudioServerError: "server",
    lms.LMStudioServerNotFoundError: "server",
    lms.LMStudioStructuredOutputError: "document",
    lms.LMStudioTimeoutError: "time",
    lms.LMStudioToolCallError: "tool",
    lms.LMStudioUnsupportedError: "version",
    lms.LMStudioValueError: "value",
    # names of the official SDK
    lms.LMStudioChannelClosedError: "incomplete",
    lms.LMStudioClientError: "network",
    lms.LMStudioOSError: "file",
    lms.LMStudioPredictionError: "server",
    lms.LMStudioRuntimeError: "use",
    lms.LMStudioUnknownMessageWarning: "protocol",
    lms.LMStudioWebsocketError: "network",
}


def errors(model: lms.LLM) -> None:
    try:
        model.respond("Why?")
    except lms.LMStudioTimeoutError as error:
        print(error.limit, error.seconds)
    except lms.LMStudioResourcesError as error:
        print(error.estimate)
    except lms.LMStudioError as error:
        partial: lms.PartialPrediction | None = error.partial
        print(partial)


def events(stream: lms.PredictionStream) -> Iterator[str]:
    for event in stream.events():
        match event:
            case lms.Fragment():
                yield event.content
                yield from (token.text for token in event.tokens)
            case lms.PromptProgress() | lms.LoadProgress():
                yield f"{event.progress:.0%}"
            case lms.QueueProgress():
                yield f"{event.queued} {event.status}"
            case lms.ToolCallStart():
                yield f"{event.index} {event.id}"
            case lms.ToolCallName():
                yield event.name
            case lms.ToolCallArguments():
                yield event.content
            case lms.ToolCallEnd():
                yield event.tool_call.name
            case lms.ToolCallFailed():
                yield event.error.title


def tokens(result: lms.PredictionResult) -> list[lms.TokenLogProb]:
    stats: lms.PredictionStats | lms.LlmPredictionStats = result.stats
    info: lms.ModelInstanceInfo | lms.LlmInstanceInfo | lms.EmbeddingModelInstanceInfo = result.model_info
    print(stats.tokens_per_second, info.context_length, result.usage.cached_tokens, result.to_dict())
    return result.log_probs


def configurations() -> None:
    gpu: lms.GpuSettingDict = {"ratio": 0.5}
    load: lms.LlmLoadModelConfigDict = {"contextLength": 4096, "gpu": gpu}
    embedding: lms.EmbeddingLoadModelConfigDict = {"contextLength": 512}
    prediction: lms.LlmPredictionConfigDict = {"temperature": 0.1}
    lms.configure_default_client("localhost:1234")
    client: lms.Client = lms.get_default_client()
    model: lms.LLM = lms.llm("x", config=load)
    lms.llm("x", config=lms.LlmLoadModelConfig(context_length=4096, gpu=lms.GpuSetting(ratio=0.5)))
    model.respond("Why?", config=prediction)
    model.respond("Why?", config=lms.LlmPredictionConfig(temperature=0.1))
    texts: lms.EmbeddingModel = lms.embedding_model("y", config=embedding)
    client.embedding.model("y", config=lms.EmbeddingLoadModelConfig(context_length=512)).embed(["a", "b"])
    print(texts.embed("a")[0], model.tokenize("a")[0], model.tokenize(["a"])[0][0])
    lms.set_sync_api_timeout(60)
    print(lms.get_sync_api_timeout())


def models() -> None:
    for downloaded in lms.list_downloaded_models():
        info: lms.ModelInfo | lms.LlmInfo | lms.EmbeddingModelInfo = downloaded.info
        print(info.model_key, downloaded.size_bytes)
        if isinstance(downloaded, lms.DownloadedLlm):
            downloaded.model().respond("Hi")
        else:
            embedding: lms.DownloadedEmbeddingModel = downloaded
            embedding.load_new_instance(instance_identifier="mine").embed("Hi")
    for loaded in lms.list_loaded_models("llm"):
        print(loaded.get_info().display_name, loaded.device)
    client = lms.Client()
    estimate = client.llm.estimate_resources("x", {"contextLength": 8192})
    print(estimate.memory.total_bytes, estimate.passes_guardrails)
    print([peer.device_name for peer in client.repository.lm_link_status().peers])


def downloads() -> str:
    def show(update: lms.DownloadProgressUpdate) -> None:
        print(update.downloaded_bytes, update.total_bytes)

    (model, *_) = lms.Client().repository.search_models("qwen", limit=1)
    return model.get_download_options()[0].download(on_progress=show)


async def awaiting(client: lms.AsyncClient) -> AsyncIterator[str]:
    model: lms.AsyncLLM = await client.llm.model("x")
    stream: lms.AsyncPredictionStream = await model.respond_stream("Why?")
    async for fragment in stream:
        yield fragment.content
    embedding: lms.AsyncEmbeddingModel = client.embedding.just_in_time("y")
    print(await embedding.embed("a"))
    for downloaded in await client.list_downloaded_models():
        if isinstance(downloaded, lms.AsyncDownloadedLlm):
            await downloaded.model()
        else:
            other: lms.AsyncDownloadedEmbeddingModel = downloaded
            await other.load_new_instance()


def agent(model: lms.LLM) -> lms.ActResult:
    rounds: list[lms.PredictionRoundResult] = []
    add = lms.ToolFunctionDef(name="add", description="Add.", parameters={"a": int}, implementation=print)
    return model.act("Hi", [add], on_prediction_completed=rounds.append, cancel=lms.CancelToken())


def chats() -> lms.Chat:
    chat = lms.Chat()
    image: lms.FileHandle = lms.prepare_image("photo.jpg")
    message: lms.UserMessage = chat.add_user_message("Look", images=[image, lms.ImagePart("other.png")])
    answer: lms.AssistantResponse = chat.add_assistant_response("A cat.")
    prompt: lms.SystemPrompt = chat.add_system_prompt("Be brief.")
    print(message.content, answer.content, prompt.content)
    return chat


def parts(message: lms.ToolResultMessage, history: lms.ChatHistoryData, fragment: lms.LlmPredictionFragment) -> None:
    text = lms.TextData(text=fragment.content)
    call = lms.ToolCallRequestData(tool_call_request=lms.ToolCallRequest(id="1", name="add", arguments={"a": 1}))
    result = lms.ToolCallResultData(content="3", tool_call_id="1")
    print(text.text, call.tool_call_request.name, result.content, message.content, history.messages)


def schema_of(kind: type[lms.ModelSchema]) -> dict[str, Any]:
    class Book(lms.BaseModel):
        title: str

    print(lms.llm().respond("A book", response_format=Book).parsed_as(Book).title)
    return kind.model_json_schema()


async def langchain_events(model: langchain.ChatLMStudio) -> None:
    names = {langchain.PROMPT_PROGRESS, langchain.LOAD_PROGRESS, langchain.QUEUE_PROGRESS}
    async for event in model.astream_events("Why?"):
        if event["name"] in names:
            print(event["data"])


def llama_index_events(llm: llama_index.LMStudio) -> int:
    def handle(event: object) -> None:
        if isinstance(event, (llama_index.PromptProgressEvent, llama_index.LoadProgressEvent)):
            print(event.progress)
        elif isinstance(event, llama_index.QueueProgressEvent):
            print(event.queued)
        elif isinstance(event, llama_index.PredictionStatsEvent):
            print(event.usage, event.stats)
        elif isinstance(event, (llama_index.PromptProgressUpdate, llama_index.LoadProgressUpdate)):
            print(event.progress)
        elif isinstance(event, llama_index.QueueProgressUpdate):
            print(event.queued)

    handle(StopEvent())
    base: llms.LLM = llm
    tokenizer: llama_index.LMStudioTokenizer = llm.tokenizer
    print(base.metadata.context_window)
    return len(tokenizer("text"))


def emulated() -> list[emulator.RecordedFrame]:
    gate = emulator.ThreadsafeEvent()

    def answer(request: emulator.PredictionRequest) -> emulator.Reply:
        return emulator.Reply(request.last_user_text, hold=gate)

    with emulator.Emulator((emulator.EmulatedModel("x", loaded=True),), replies=answer) as server:
        faults: emulator.Faults = server.faults
        fault: emulator.Fault = faults.add("drop", endpoint="predict")
        server.script(emulator.Reply(tool_calls=[emulator.FailedToolCall(name="add")]))
        fault.release()
        return list(server.requests)
