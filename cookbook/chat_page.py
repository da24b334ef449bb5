"""A chat page in the browser, with Streamlit: streaming, progress, reasoning, tool calls, a stop button.

Run it with `.uv/bin/uv run --no-dev --extra all --group examples streamlit run cookbook/chat_page.py`.

Streamlit serves all networks of the machine: add ``--server.address=127.0.0.1`` to keep the page to yourself.

Streamlit runs this file anew after every click. So each answer has a thread of its own, which writes into an ``Answer``
that the session keeps, and a fragment of the page draws it several times a second. The stop button works at any
time, also while a model is loaded or a long prompt is processed, because no run of the page waits for the model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import streamlit as st
from _server import Server, lm_studio_or_emulator

from lmstudio_integrations import (
    ActResult,
    CancelToken,
    Chat,
    Client,
    Fragment,
    LMStudioCancelledError,
    LMStudioError,
    ToolCallRequest,
)

REDRAW_SECONDS = 0.15


def depth_of_water(place: str) -> str:
    """How deep the water is at a place in the harbour, in metres."""
    return {"north pier": "6.5 metres", "south quay": "9 metres"}.get(place.lower(), "not measured there")


def wind(unit: str = "knots") -> str:
    """How strong the wind is now."""
    return f"12 {unit}, from the west"


TOOLS: list[Callable[..., str]] = [depth_of_water, wind]


@dataclass
class Part:
    """A piece of an answer: ``kind`` is "text", "reasoning" or "tool"; a tool's ``result`` comes later."""

    kind: str
    text: str
    id: str | None = None
    result: str | None = None


@dataclass
class Answer:
    """One answer, written by its thread and read by the page."""

    question: str
    parts: list[Part] = field(default_factory=list)
    progress: tuple[str, float] | None = ("Waiting for the server", 0.0)
    result: ActResult | None = None
    error: str | None = None
    stopped: bool = False
    running: bool = True
    token: CancelToken = field(default_factory=CancelToken)

    def start(self, url: str | None, model: str, chat: Chat, *, temperature: float, use_tools: bool) -> None:
        """Answer the last message of ``chat`` in a thread, and add the answer to it."""
        arguments = (url, model, chat, temperature, use_tools)
        threading.Thread(target=self._run, args=arguments, daemon=True).start()

    def _run(self, url: str | None, model: str, chat: Chat, temperature: float, use_tools: bool) -> None:
        try:
            # A client is cheap to make: those of one address share their connections.
            self.result = (
                Client(url)
                .llm.just_in_time(model)
                .act(
                    chat,
                    TOOLS if use_tools else (),
                    config={"temperature": temperature, "maxTokens": 2000},
                    max_prediction_rounds=5,
                    cancel=self.token,
                    on_load_progress=lambda share: self._show("Loading the model", share),
                    on_prompt_processing_progress=lambda share, _: self._show("Reading the prompt", share),
                    on_prediction_fragment=self._add_fragment,
                    on_tool_call_end=self._add_call,
                    on_tool_result=self._add_result,
                    on_message=chat.append,
                )
            )
            self.stopped = self.result.finish_reason == "cancelled"
        except LMStudioCancelledError:
            self.stopped = True  # before there was any text
        except LMStudioError as error:
            self.error = str(error)
        finally:
            self.progress = None
            self.running = False

    def _show(self, title: str, share: float) -> None:
        self.progress = (title, share)

    def _add_fragment(self, fragment: Fragment, _: int) -> None:
        self.progress = None
        kind = {"none": "text", "reasoning": "reasoning"}.get(fragment.reasoning_type)
        if kind is None:
            return  # the literal tags around the reasoning
        if self.parts and self.parts[-1].kind == kind:
            self.parts[-1].text += fragment.content
        else:
            self.parts.append(Part(kind, fragment.content))

    def _add_call(self, _index: int, call: ToolCallRequest, _round: int) -> None:
        arguments = ", ".join(f"{name}={value!r}" for name, value in (call.arguments or {}).items())
        self.parts.append(Part("tool", f"{call.name}({arguments})", call.id))

    def _add_result(self, call: ToolCallRequest, text: str, _round: int) -> None:
        for part in self.parts:
            if part.id == call.id and part.result is None:
                part.result = text

    @property
    def statistics(self) -> str:
        """What the server measured, on one line."""
        if self.result is None or not self.result.results:
            return ""
        usage, last = self.result.usage, self.result.results[-1].stats
        figures = [f"{usage.prompt_tokens} prompt tokens", f"{usage.completion_tokens} generated"]
        if last.tokens_per_second is not None:
            figures.append(f"{last.tokens_per_second:.1f} tokens/s")
        if last.time_to_first_token_sec is not None:
            figures.append(f"first after {last.time_to_first_token_sec:.2f} s")
        if self.result.rounds > 1:
            figures.append(f"{self.result.rounds} rounds")
        return " · ".join([*figures, f"{self.result.total_time_seconds:.1f} s in all", self.result.finish_reason])


@st.cache_resource(show_spinner="Looking for LM Studio …")
def find_server() -> Server:
    """LM Studio, or the emulator, which then runs as long as this program."""
    return ExitStack().enter_context(lm_studio_or_emulator())


@st.cache_resource(show_spinner=False)
def language_models(url: str | None) -> list[str]:
    """The keys of the downloaded language models."""
    with Client(url) as client:
        return [model.model_key for model in client.llm.list_downloaded()]


def cancel_all(answers: list[Answer]) -> None:
    """Cancel the answers that are not complete."""
    for answer in answers:
        answer.token.cancel()


@st.cache_resource(scope="session", on_release=cancel_all, show_spinner=False)
def cancelled_with_session(_answers: list[Answer]) -> list[Answer]:
    """The same list. Streamlit calls ``cancel_all`` with it when the browser tab is closed or loses its connection."""
    return _answers


def draw(answer: Answer) -> None:
    """Draw a question and its answer as it is now."""
    with st.chat_message("user"):
        st.markdown(as_markdown(answer.question))
    with st.chat_message("assistant"):
        for part in list(answer.parts):
            if part.kind == "reasoning":
                with st.expander("Reasoning"):
                    st.markdown(as_markdown(part.text))
            elif part.kind == "tool":
                with st.expander(f"`{part.text}`", icon=":material/build:"):
                    st.text(part.result if part.result is not None else "running …")
            else:
                st.markdown(as_markdown(part.text))
        if answer.progress is not None:
            title, share = answer.progress
            st.progress(min(1.0, max(0.0, share)), f"{title}: {share:.0%}")
        if answer.running:
            st.button("Stop", on_click=answer.token.cancel, icon=":material/stop_circle:")
        if answer.error is not None:
            st.error(answer.error)
        if answer.stopped:
            st.caption("Stopped.")
        if answer.statistics:
            st.caption(answer.statistics)


def as_markdown(text: str) -> str:
    """The text without pictures: the browser would fetch them from any address that a model writes."""
    return text.replace("![", "!\\[")


@st.fragment(run_every=REDRAW_SECONDS)
def draw_running(answer: Answer) -> None:
    """Draw an answer again and again until it is complete, then the page once more without this loop."""
    running = answer.running
    draw(answer)
    if not running:
        st.rerun()


def main() -> None:
    """The page: settings at the side, the conversation, and a line for the next question."""
    st.set_page_config(page_title="Chat with LM Studio", page_icon=":material/chat:")
    server = find_server()
    answers: list[Answer] = st.session_state.setdefault("answers", [])
    cancelled_with_session(answers)
    chat: Chat = st.session_state.setdefault("chat", Chat("You are a helpful assistant in a harbour. Be brief."))

    with st.sidebar:
        st.subheader("Settings")
        models = language_models(server.url)
        if server.chat_model not in models:
            models = [server.chat_model, *models]
        model = st.selectbox("Model", models, index=models.index(server.chat_model))
        temperature = st.slider("Temperature", 0.0, 2.0, 0.7)
        use_tools = st.toggle("Tools: depth of water, wind", value=True)
        st.caption(f"Server: {Client(server.url).url or 'found on this machine'}")

    st.title("Chat with LM Studio")
    for answer in answers:
        if answer.running:
            draw_running(answer)
        else:
            draw(answer)

    busy = any(answer.running for answer in answers)
    question = st.chat_input("Ask something", disabled=busy)
    if question and not busy:
        chat.add_user_message(question)
        answer = Answer(question)
        answers.append(answer)
        answer.start(server.url, model, chat, temperature=temperature, use_tools=use_tools)
        st.rerun()


if __name__ == "__main__":
    main()
