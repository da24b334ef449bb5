"""Counting before asking: whether a prompt fits the context that the model was loaded with."""

from __future__ import annotations

from lmstudio_integrations.client import LLM, AsyncLLM
from lmstudio_integrations.errors import LMStudioContextOverflowError
from lmstudio_integrations.langchain.request import Request

__all__ = ["acheck_fits", "check_fits"]


def check_fits(llm: LLM, request: Request) -> None:
    """Raise ``LMStudioContextOverflowError`` with both numbers if the prompt is longer than the context."""
    prompt = llm.apply_prompt_template(request.text_only(), tools=request.options["tools"])
    _compare(llm.count_tokens(prompt), llm.get_context_length())


async def acheck_fits(llm: AsyncLLM, request: Request) -> None:
    """The same from a coroutine."""
    prompt = await llm.apply_prompt_template(request.text_only(), tools=request.options["tools"])
    _compare(await llm.count_tokens(prompt), await llm.get_context_length())


def _compare(needed: int, available: int) -> None:
    if needed > available:
        error = LMStudioContextOverflowError(
            f"the prompt has {needed} tokens, and the model was loaded with a context of {available}",
            suggestion="Shorten the conversation, or load the model with a larger context_length.",
        )
        error.needed, error.available = needed, available
        raise error
