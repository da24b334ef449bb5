"""Counting tokens, the length of the context, limits of an answer, and what an answer has used.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/tokens_and_limits.py`.
"""

from __future__ import annotations

from _sample_docs import HANDBOOK
from _server import lm_studio_or_emulator

from lmstudio_integrations import Chat, Client, LMStudioContextOverflowError
from lmstudio_integrations.langchain import ChatLMStudio

TEXT = "\n\n".join(HANDBOOK.values())


def main() -> None:
    """Before the request, at its end, and when it would be too long."""
    with lm_studio_or_emulator() as server, Client(server.url) as client:
        model = client.llm.model(server.chat_model)
        context = model.get_context_length()
        print(f"The context has {context} tokens, for prompt and answer together.")
        print(f"The handbook has {model.count_tokens(TEXT)} tokens.")

        # What the model gets is the chat in its own template: count that.
        chat = Chat("You are a helpful assistant.")
        chat.add_user_message(f"{TEXT}\n\nSummarise this.")
        print(f"With the template around it: {model.count_tokens(model.apply_prompt_template(chat))}.")

        result = model.respond(chat, config={"maxTokens": 10})
        print(f"An answer of at most 10 tokens ends with {result.finish_reason!r} ({result.stats.stop_reason}):")
        print(f"  {result.usage}")

        too_long = "\n".join([TEXT] * (2 + context // model.count_tokens(TEXT)))
        try:
            # Three short requests more, and an error here instead of a prompt that the server cuts.
            model.respond(too_long, check_context=True)
        except LMStudioContextOverflowError as error:
            print("Too long:", str(error).splitlines()[0])

        chat_model = ChatLMStudio(model=server.chat_model, base_url=server.url, max_tokens=10)
        print(f"LangChain counts with the model's own tokenizer: {chat_model.get_num_tokens(TEXT)}.")
        print(f"  {chat_model.invoke('Hello').usage_metadata}")


if __name__ == "__main__":
    main()
