"""What can go wrong, which error says so, and what is sent again without your doing.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/errors_and_retries.py`.

The server is always the package's emulator, because a real one does not fail on request.
"""

from __future__ import annotations

from lmstudio_integrations import (
    Client,
    LMStudioContextOverflowError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioModelNotFoundError,
    LMStudioServerNotFoundError,
    LMStudioTimeoutError,
    LMStudioValueError,
    Timeout,
)
from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.langchain import ChatLMStudio


def wrong_requests(server: Emulator) -> None:
    """Errors that would come again: nothing is retried."""
    with Client(server.url) as client:
        model = client.llm.model("emulator/chat")
        try:
            client.llm.model("qwen/qwen3-4bb")
        except LMStudioModelNotFoundError as error:
            print("unknown model:    ", str(error).splitlines()[0])
        try:
            model.respond("Hello", config={"temperature": -1})
        except LMStudioValueError as error:
            print("wrong setting:    ", str(error).splitlines()[0])
        try:
            model.respond("word " * 5000, check_context=True)
        except LMStudioContextOverflowError as error:
            print("too long a prompt:", str(error).splitlines()[0])


def lost_connections(server: Emulator) -> None:
    """A request that has no answer yet is sent again; one that has begun is not, and has what came as ``partial``."""
    model = ChatLMStudio(model="emulator/chat", base_url=server.url, max_retries=2)
    server.script(Reply("Lost", progress=()), Reply("This came after all."))
    server.faults.add("drop", after=0, times=1)
    print("lost before:      ", model.invoke("Hello").text)
    server.script(Reply("One two three four"))
    server.faults.add("drop", after=2, times=1)
    try:
        model.invoke("Count")
    except LMStudioDisconnectedError as error:
        print("lost in between:  ", repr(error.partial.content))


def time_limits(server: Emulator) -> None:
    """Limits are for silence, not for the length of an answer, unless ``total`` is set."""
    patient = ChatLMStudio(model="emulator/chat", base_url=server.url, timeout=Timeout(idle=0.2), max_retries=0)
    server.script(Reply("One two three four"))
    stalled = server.faults.add("stall", after=2, times=1)
    try:
        patient.invoke("Count")
    except LMStudioTimeoutError as error:
        print("silence:          ", error.limit, error.seconds, "s")
    stalled.release()


def another_server(server: Emulator) -> None:
    """LangChain's fallbacks: a second server for when the first does not answer."""
    nowhere = ChatLMStudio(model="emulator/chat", base_url="ws://127.0.0.1:1", max_retries=0)
    try:
        nowhere.invoke("Hello")
    except LMStudioServerNotFoundError as error:
        print("no server at:     ", ", ".join(error.addresses))
    server.script(Reply("The second server answers."))
    safe = nowhere.with_fallbacks(
        [ChatLMStudio(model="emulator/chat", base_url=server.url)], exceptions_to_handle=(LMStudioError,)
    )
    print("fallback:         ", safe.invoke("Hello").text)


def main() -> None:
    """All of them, one after the other."""
    print("The emulator plays a server that fails.")
    with Emulator() as server:
        wrong_requests(server)
        lost_connections(server)
        time_limits(server)
        another_server(server)


if __name__ == "__main__":
    main()
