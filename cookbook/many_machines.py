"""Many prompts over several LM Studio hosts with Ray Data: in order, and hosts may come and go.

Run it with `.uv/bin/uv run --no-dev --extra all --group ray cookbook/many_machines.py`.

Name the hosts in ``LMSTUDIO_HOSTS``, separated by commas: ``ws://10.0.0.5:1234,ws://10.0.0.6:1234``. If they demand an
API token, set ``LMSTUDIO_API_TOKEN`` before the Ray cluster starts: the workers read it from their own environment.
The page docs/many_machines.md has the explanation and figures.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import ray

from lmstudio_integrations import (
    Client,
    LMStudioConnectionError,
    LMStudioError,
    LMStudioServerNotFoundError,
    LMStudioTimeoutError,
    Timeout,
)

if TYPE_CHECKING:  # a worker imports the framework of its model alone, with the model
    from ray.data import Dataset

    from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings
    from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding

Model: TypeAlias = "ChatLMStudio | LMStudioEmbeddings | LMStudio | LMStudioEmbedding"

AWAY = (LMStudioConnectionError, LMStudioTimeoutError)
"""What says that the host is not there, rather than that something is wrong with the row."""
ATTEMPTS = 10
"""How often a row is sent, at most, before the last error becomes its result."""


def rows_of(texts: Sequence[str], rows_per_block: int = 16) -> Dataset:
    """A data set with the columns ``id`` and ``text``, in blocks that are small enough to spread."""
    rows = [{"id": number, "text": text} for number, text in enumerate(texts)]
    return ray.data.from_items(rows, override_num_blocks=max(1, -(-len(rows) // rows_per_block)))


def spread(
    rows: Dataset,
    model: Model,
    hosts: Sequence[str],
    *,
    text: str = "text",
    batch_size: int = 16,
    at_once: int = 4,
    patience: float = 300.0,
) -> Dataset:
    """The rows with the model's answers or vectors, in their order; lazy, as Ray Data is.

    New columns: ``answer``, ``prompt_tokens`` and ``generated_tokens`` of a language model, or ``vector`` of an
    embedding model; ``host`` that answered; ``error``, which is null unless the row could not be answered.

    Args:
        rows: any data set of Ray with a column ``text``. Its blocks are what is distributed: a data set of one block
            keeps one host busy (``rows.repartition(n)``, ``rows_of``).
        model: a model object of LangChain or LlamaIndex as it is. Each worker has a copy with its host's address.
        hosts: the addresses. Each gets one worker.
        text: the column to read.
        batch_size: rows that a worker takes at a time.
        at_once: prompts that a host gets at the same time (LM Studio's "max concurrent predictions"). Of texts to embed
            the client has up to 64 under way.
        patience: seconds without an answer from any host, after which the job fails.
    """
    turns = ray.remote(num_cpus=0)(HostTurns).remote(len(hosts))
    answered = rows.map_batches(
        Worker,
        fn_constructor_kwargs={
            "model": model,
            "hosts": list(hosts),
            "assign_host": partial(_assign_host, turns),
            "text": text,
            "at_once": at_once,
            "patience": patience,
        },
        batch_size=batch_size,
        batch_format="pyarrow",
        # Back-pressure: a worker has one block at its host and one that waits.
        compute=ray.data.ActorPoolStrategy(size=len(hosts), max_tasks_in_flight_per_actor=2),
        # The work is done by the hosts, so that a worker may share a processor with many others.
        num_cpus=0.01,
    )
    answered.context.execution_options.preserve_order = True
    return answered


def _assign_host(turns: Any) -> int:
    number: int = ray.get(turns.next.remote())
    return number


class HostTurns:
    """Assigns the hosts to the workers in turn. Ray restarts a worker that has died, which then asks again."""

    def __init__(self, hosts: int) -> None:
        self._turns = itertools.cycle(range(hosts))

    def next(self) -> int:
        """The number of the next worker's host."""
        return next(self._turns)


class Worker:
    """What each of Ray's actors runs. It asks its own host, and others while that one does not answer."""

    def __init__(
        self,
        model: Model,
        hosts: list[str],
        assign_host: Callable[[], int],
        text: str = "text",
        at_once: int = 4,
        patience: float = 300.0,
    ) -> None:
        own = assign_host()
        self._hosts = hosts[own:] + hosts[:own]
        self._models = {host: _at(model, host) for host in hosts}
        self._text, self._at_once, self._patience = text, at_once, patience
        self._asks_own_host = True

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer a batch. Rows that a host leaves unanswered go to the next one."""
        texts = batch.column(self._text).to_pylist()
        results: list[dict[str, Any]] = [{} for _ in texts]
        open_rows = list(range(len(texts)))
        for _ in range(ATTEMPTS):
            host = self._choose_host()
            model = self._models[host]
            outcomes = ask(model, [texts[at] for at in open_rows], self._at_once)
            for at, outcome in zip(open_rows, outcomes, strict=True):
                given = {"error": f"{type(outcome).__name__}: {outcome}"} if isinstance(outcome, Exception) else outcome
                results[at] = {**given, "host": host}
            open_rows = [at for at, outcome in zip(open_rows, outcomes, strict=True) if isinstance(outcome, AWAY)]
            if not open_rows:
                break
            self._asks_own_host = False
        for name, kind in _columns(self._models[self._hosts[0]]).items():
            batch = batch.append_column(name, pa.array([result.get(name) for result in results], kind))
        return batch

    def _choose_host(self) -> str:
        """The own host; after a failure the first that answers, the own first, so that its return is noticed."""
        if self._asks_own_host:
            return self._hosts[0]
        deadline, delay = time.monotonic() + self._patience, 0.25
        while True:
            for host in self._hosts:
                if Client.is_valid_api_host(host):
                    self._asks_own_host = host == self._hosts[0]
                    return host
            if time.monotonic() > deadline:
                raise LMStudioServerNotFoundError(
                    f"no host has answered for {self._patience} s: {', '.join(self._hosts)}",
                    addresses=tuple(self._hosts),
                )
            time.sleep(delay)
            delay = min(5.0, 2 * delay)


def ask(model: Model, texts: Sequence[str], at_once: int) -> list[dict[str, Any] | Exception]:
    """A result for each text, or its error."""
    embed = _embed_method(model)
    if embed is not None:
        return _vectors(embed, texts)
    with ThreadPoolExecutor(at_once) as threads:
        return list(threads.map(lambda text: _answer(model, text), texts))


def _embed_method(model: Any) -> Callable[[list[str]], list[list[float]]] | None:
    """LangChain's or LlamaIndex's method for many texts; ``None`` for a language model."""
    return getattr(model, "embed_documents", None) or getattr(model, "get_text_embedding_batch", None)


def _answer(model: Any, text: str) -> dict[str, Any] | Exception:
    try:
        if hasattr(model, "invoke"):  # LangChain's
            message = model.invoke(text)
            usage = message.usage_metadata or {}
            return {
                "answer": message.text,
                "prompt_tokens": usage.get("input_tokens"),
                "generated_tokens": usage.get("output_tokens"),
            }
        response = model.complete(text)
        usage = (response.raw or {}).get("usage", {})
        return {
            "answer": response.text,
            "prompt_tokens": usage.get("prompt_tokens"),
            "generated_tokens": usage.get("completion_tokens"),
        }
    except LMStudioError as error:
        return error


def _vectors(embed: Callable[[list[str]], list[list[float]]], texts: Sequence[str]) -> list[dict[str, Any] | Exception]:
    """All at once; one by one if there is something wrong with one of them."""
    try:
        return [{"vector": vector} for vector in embed(list(texts))]
    except AWAY as error:
        return [error for _ in texts]
    except LMStudioError as error:
        if len(texts) == 1:
            return [error]
        return [result for text in texts for result in _vectors(embed, [text])]


def _columns(model: Model) -> dict[str, Any]:
    if _embed_method(model) is not None:
        return {"vector": pa.list_(pa.float64()), "host": pa.string(), "error": pa.string()}
    counts = {"prompt_tokens": pa.int64(), "generated_tokens": pa.int64()}
    return {"answer": pa.string(), **counts, "host": pa.string(), "error": pa.string()}


def _at(model: Model, host: str) -> Model:
    """A copy with a host's address. It does not wait for a host that is gone: another one is there."""
    timeout = Timeout.of({"reconnect": 0}, base=Timeout.of(model.timeout))
    return model.model_copy(update={"base_url": host, "timeout": timeout})


def main() -> None:
    """Ask sixty questions and embed them, with a bar for what is done."""
    from _server import lm_studio_or_emulator
    from tqdm import tqdm

    from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings

    with lm_studio_or_emulator() as server:
        named = [host.strip() for host in os.environ.get("LMSTUDIO_HOSTS", "").split(",") if host.strip()]
        hosts = named or [server.url or f"ws://{Client.find_default_local_api_host()}"]
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="warning")
        ray.data.DataContext.get_current().enable_progress_bars = False  # tqdm's is enough here
        questions = [f"What is {number} plus {number}? Answer with the number alone." for number in range(60)]
        chat = ChatLMStudio(model=server.chat_model, temperature=0, max_tokens=10)
        answers = spread(rows_of(questions), chat, hosts)
        for row in tqdm(answers.iter_rows(), total=len(questions), unit="row"):
            if row["id"] % 20 == 0:
                tqdm.write(f"{row['id']}: {row['error'] or row['answer']!r} from {row['host']}")
        embeddings = LMStudioEmbeddings(model=server.embedding_model)
        vectors = spread(rows_of(questions), embeddings, hosts).take_all()
        print(f"{len(vectors)} vectors of {len(vectors[0]['vector'])} numbers")
        ray.shutdown()


if __name__ == "__main__":
    main()
