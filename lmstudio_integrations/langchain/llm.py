"""``LMStudioLLM``: text completion without a chat template."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.language_models import LangSmithParams
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from pydantic import ConfigDict

from lmstudio_integrations.compat.prediction_request import PredictionRequest
from lmstudio_integrations.langchain._base import LMStudioBase, ls_params
from lmstudio_integrations.langchain._chunks import CompletionChunkReader
from lmstudio_integrations.langchain._request import apredict, predict, text_request
from lmstudio_integrations.langchain._response import GenerationReader
from lmstudio_integrations.langchain.errors import LangChainErrors

if TYPE_CHECKING:
    from typing import Unpack

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models.base import LanguageModelInput
    from langchain_core.runnables import RunnableConfig

    from lmstudio_integrations.langchain._keywords import LLMCallKeywords, LMStudioLLMKeywords

__all__ = ["LMStudioLLM"]


class LMStudioLLM(LMStudioBase, BaseLLM):
    """A model that continues a text, without a chat template. For conversations use ``ChatLMStudio``.

    Example: Construct, call and stream
        ```python
        from lmstudio_integrations.langchain import LMStudioLLM

        llm = LMStudioLLM(model="qwen/qwen3-4b", max_tokens=50)
        print(llm.invoke("Once upon a time"))
        #> there was a lighthouse.
        for text in llm.stream("Once upon a time", temperature=0.9):
            print(text, end="")
        #> there was a lighthouse.
        ```

    Example: Async
        ```python
        text = await llm.ainvoke("Once upon a time")
        async for text in llm.astream("Once upon a time"):
            print(text, end="")
        #> there was a lighthouse.
        ```

    Example: Usage and response metadata
        ```python
        generation = llm.generate(["Once upon a time"]).generations[0][0]
        print(generation.generation_info["usage_metadata"])  # tokens
        #> {'input_tokens': 4, 'output_tokens': 6, 'total_tokens': 10, ...}
        print(generation.generation_info["stats"]["stop_reason"])
        #> eosFound
        ```

        ``generation_info`` has ``model_info``, ``finish_reason`` and ``stop_reason``, too; of a stream, that of
        the last chunk.

    The settings, progress, load settings and errors are those of ``ChatLMStudio``; a call may override the settings in
    the same way.
    """

    # A misspelt setting is an error; LangChain's base would drop it.
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", defer_build=False)

    streaming: bool | None = None
    """Accepted and ignored: ``stream`` always streams, ``invoke`` never."""

    if TYPE_CHECKING:

        def __init__(self, **keywords: Unpack[LMStudioLLMKeywords]) -> None:
            """Fields, and their names in other integrations (``compat.names``)."""

        def invoke(  # type: ignore[override]  # the base class takes any keyword
            self,
            input: LanguageModelInput,
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[LLMCallKeywords],
        ) -> str:
            """As in LangChain; ``kwargs`` are settings of this call."""

        async def ainvoke(  # type: ignore[override]  # the base class takes any keyword
            self,
            input: LanguageModelInput,
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[LLMCallKeywords],
        ) -> str:
            """As in LangChain; ``kwargs`` are settings of this call."""

        def stream(  # type: ignore[override]  # the base class takes any keyword
            self,
            input: LanguageModelInput,
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[LLMCallKeywords],
        ) -> Iterator[str]:
            """As in LangChain; ``kwargs`` are settings of this call."""

        def astream(  # type: ignore[override]  # the base class takes any keyword
            self,
            input: LanguageModelInput,
            config: RunnableConfig | None = None,
            *,
            stop: list[str] | None = None,
            **kwargs: Unpack[LLMCallKeywords],
        ) -> AsyncIterator[str]:
            """As in LangChain; ``kwargs`` are settings of this call."""

    @property
    def _llm_type(self) -> str:
        return "lmstudio-llm"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """The settings that change an answer; they are part of the cache's key."""
        return self._what_answers()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return ls_params(self, "llm", stop, kwargs)

    def _request(self, prompt: str, stop: list[str] | None, changes: Mapping[str, Any]) -> PredictionRequest:
        with LangChainErrors():
            return text_request(self, prompt, stop, changes)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        generations = []
        for prompt in prompts:
            reader = GenerationReader()
            for _ in predict(self, self._request(prompt, stop, kwargs), reader):
                pass
            generations.append(reader.generation)
        return _result(generations)

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        async def one(prompt: str) -> Generation:
            reader = GenerationReader()
            async for _ in apredict(self, self._request(prompt, stop, kwargs), reader):
                pass
            return reader.generation

        tasks = [asyncio.ensure_future(one(prompt)) for prompt in prompts]
        try:
            return _result(await asyncio.gather(*tasks))
        finally:  # the others of one that has failed
            for task in tasks:
                task.cancel()

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        for chunk in predict(self, self._request(prompt, stop, kwargs), CompletionChunkReader()):
            if run_manager is not None:  # unlike for chat models, langchain-core leaves this to the model
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        async for chunk in apredict(self, self._request(prompt, stop, kwargs), CompletionChunkReader()):
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def get_token_ids(self, text: str) -> list[int]:
        """The model's own token ids for ``text``."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        with LangChainErrors():
            return self._client().llm.just_in_time(self.model, **self._load_options()).tokenize(text)


def _result(generations: list[Generation]) -> LLMResult:
    counts = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens", "total_tokens": "total_tokens"}
    usages = [(made.generation_info or {}).get("usage_metadata") or {} for made in generations]
    usage = {name: sum(one.get(key, 0) for one in usages) for name, key in counts.items()}
    name = (generations[0].generation_info or {}).get("model_name") if generations else None
    return LLMResult(
        generations=[[made] for made in generations], llm_output={"token_usage": usage, "model_name": name}
    )
