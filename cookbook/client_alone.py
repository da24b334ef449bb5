"""The client without a framework: a chat with memory, streamed, with progress, settings, and what the server measured.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/client_alone.py`.
"""

from __future__ import annotations

from _server import lm_studio_or_emulator

import lmstudio_integrations as lms


def main() -> None:
    """Ask twice in one conversation, then look at the model itself."""
    with lm_studio_or_emulator() as server, lms.Client(server.url) as client:
        # Loads the model if it is not loaded; LM Studio unloads it after ten idle minutes, if this call loaded it.
        model = client.llm.model(
            server.chat_model, ttl=600, on_load_progress=lambda share: print(f"loading {share:.0%}")
        )

        chat = lms.Chat("You are a helpful assistant. Answer in one sentence.")
        for question in ("What is a lighthouse for?", "Who looks after one?"):
            chat.add_user_message(question)
            print(f"\n> {question}")
            stream = model.respond_stream(
                chat,
                config={"temperature": 0, "maxTokens": 60},
                on_progress=lambda share: print(f"[prompt {share:.0%}] ", end="", flush=True),
                on_message=chat.append,
            )
            for fragment in stream:
                print(fragment, end="", flush=True)
            stats = stream.result().stats
            print(f"\n  {stats.predicted_tokens_count} tokens, {stats.tokens_per_second:.1f}/s: {stats.stop_reason}")

        info = model.get_info()
        print(f"\n{info.display_name}: a context of {info.context_length} tokens, at most {info.max_context_length}")
        print(f"The conversation has {model.count_tokens(model.apply_prompt_template(chat))} tokens by now.")


if __name__ == "__main__":
    main()
