"""The emulator as a tool for other people's tests: mistakes are errors, requests are decoded, strict mode."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from lmstudio_integrations import AsyncClient, Client, LMStudioServerError
from lmstudio_integrations.emulator import EmulatedModel, Emulator, FailedToolCall, PredictionRequest, Reply, ToolCall
from lmstudio_integrations.errors import LMStudioError, LMStudioValueError
from tests.emulator.raw_client import RawClient, packets, prediction, stats

pytest_plugins = ["pytester"]
# The last two: pytest-asyncio warns without them, and the outer run makes errors of warnings.
QUIET = ("-q", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function")

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "stal"}, "did you mean 'stall'"),
        ({"name": "stall", "endpoint": "predct"}, "did you mean 'predict'"),
        ({"name": "stall", "namespace": "lmm"}, "did you mean 'llm'"),
        ({"name": "stall", "conection": True}, "did you mean 'connection'"),
        ({"name": "drop", "size": 3}, "known are: none"),
        ({"name": "drop", "after": -1}, "after"),
        ({"name": "drop", "times": 0}, "times"),
    ],
)
def test_fault_with_an_unknown_name_is_an_error_with_the_nearest_one(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(LMStudioValueError, match=words):
        Emulator().faults.add(**arguments)


@pytest.mark.parametrize("bad", ["hello", None, 3])
def test_scripting_anything_but_a_reply_is_an_error(bad: Any) -> None:
    with pytest.raises(LMStudioValueError, match="expected a Reply"):
        Emulator().script(bad)


def test_reply_with_text_and_fragments_is_an_error() -> None:
    with pytest.raises(LMStudioValueError, match="got both"):
        Reply("a", fragments=["a"])


def test_reply_with_a_text_as_fragments_is_an_error() -> None:
    with pytest.raises(LMStudioValueError, match="list of texts"):
        Reply(fragments="abc")


def test_reply_with_a_tool_call_of_another_type_is_an_error() -> None:
    with pytest.raises(LMStudioValueError, match="expected ToolCall"):
        Reply(tool_calls=[{"name": "add"}])  # type: ignore[list-item]


@pytest.mark.parametrize("arguments", ["{", "[1]", "3"])
def test_tool_call_whose_arguments_are_no_json_object_is_an_error(arguments: str) -> None:
    with pytest.raises(LMStudioValueError, match="JSON"):
        ToolCall("add", arguments)


def test_two_models_with_one_key_are_an_error() -> None:
    with pytest.raises(LMStudioValueError, match="same key: a"):
        Emulator([EmulatedModel("a"), EmulatedModel("a", "embedding")])


# Strict mode


def test_strict_emulator_refuses_a_prediction_without_a_reply_and_fails_in_the_end() -> None:
    with pytest.raises(AssertionError, match="was asked 'How are you"), Emulator(strict=True) as server:
        model = Client(server.url).llm.model()
        with pytest.raises(LMStudioError, match="no reply is scripted"):
            model.respond("How are you?")


def test_strict_emulator_fails_if_a_reply_is_left() -> None:
    with pytest.raises(AssertionError, match=r"a reply was not used.*left over"), Emulator(strict=True) as server:
        server.script(Reply("left over"))


def test_strict_emulator_fails_if_a_fault_did_not_happen() -> None:
    with pytest.raises(AssertionError, match="the fault 'drop' did not happen"), Emulator(strict=True) as server:
        server.faults.add("drop")


def test_strict_emulator_refuses_a_scripted_call_of_a_tool_that_was_not_offered() -> None:
    with pytest.raises(AssertionError, match="calls subtract; offered are add"), Emulator(strict=True) as server:
        server.script(Reply(tool_calls=[ToolCall("subtract", {})]))
        with pytest.raises(LMStudioError, match="offered are add"):
            Client(server.url).llm.model().respond("Hi", tools=[TOOL])


def test_strict_emulator_passes_if_the_complete_script_was_used() -> None:
    with Emulator(strict=True) as server:
        server.script(Reply("a"), Reply(tool_calls=[ToolCall("add", {}), FailedToolCall("add", "{")]))
        model = Client(server.url).llm.model()
        assert model.respond("Hi").content == "a"
        model.respond("Hi", tools=[TOOL])


def test_strict_emulator_leaves_an_error_of_the_test_alone() -> None:
    with pytest.raises(ZeroDivisionError), Emulator(strict=True) as server:
        server.script(Reply("never used"))
        raise ZeroDivisionError


def test_emulator_that_is_not_strict_answers_by_its_rule() -> None:
    with Emulator() as server:
        server.script(Reply("left over"), model="emulator/chat-2")
        assert Client(server.url).llm.model("emulator/chat").respond("Hi").content


# Decoded requests


def test_prediction_is_decoded_under_user_names() -> None:
    with Emulator() as server:
        Client(server.url).llm.model("emulator/chat").respond(
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
            config={"temperature": 0.3, "maxTokens": 50, "topKSampling": 7, "topPSampling": False},
            tools=[TOOL],
        )
        (prediction,) = server.predictions
        server.clear_record()
        assert server.predictions == []
    assert prediction.model == "emulator/chat"
    assert prediction.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    expected = {"temperature": 0.3, "max_tokens": 50, "top_k_sampling": 7, "top_p_sampling": False}
    assert expected.items() <= prediction.settings.items()
    assert prediction.tool_names == ["add"]
    assert prediction.response_format is None
    assert not prediction.raw


def test_schema_and_raw_prompt_are_decoded() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    with Emulator() as server:
        model = Client(server.url).llm.model("emulator/chat")
        model.respond("Hi", response_format=schema)
        model.complete("Once upon")
        structured, raw = server.predictions
    assert structured.response_format["properties"] == schema["properties"]
    assert raw.raw
    assert raw.messages == [{"role": "user", "content": "Once upon"}]


def test_embeddings_and_loads_are_decoded() -> None:
    with Emulator() as server:
        client = Client(server.url)
        client.embedding.model("emulator/embedding").embed(["a", "b"])
        client.llm.load_new_instance("emulator/chat-2", "mine", ttl=60, config={"contextLength": 512})
        assert [(one.model, one.text) for one in server.embeddings] == [
            ("emulator/embedding", "a"),
            ("emulator/embedding", "b"),
        ]
        (load,) = server.loads
    assert (load.model, load.identifier, load.ttl) == ("emulator/chat-2", "mine", 60)
    assert load.settings["context_length"] == 512


@pytest.mark.parametrize(("arguments", "kept"), [({"record": False}, 0), ({"record_limit": 2}, 2)])
def test_decoded_calls_are_bounded_as_frames_are(arguments: dict[str, Any], kept: int) -> None:
    with Emulator(**arguments) as server:
        client = Client(server.url)
        client.embedding.model("emulator/embedding").embed(["a", "b", "c"])
        for text in ("one", "two", "three"):
            client.llm.model("emulator/chat").respond(text)
        assert len(server.embeddings) == len(server.predictions) == kept


# Replies and models


def test_reply_for_a_model_waits_for_that_model() -> None:
    with Emulator() as server:
        server.script(Reply("second"), model="emulator/chat-2")
        server.script(Reply("any"))
        client = Client(server.url)
        assert client.llm.model("emulator/chat").respond("Hi").content == "any"
        assert client.llm.model("emulator/chat-2").respond("Hi").content == "second"


def test_reply_function_may_be_a_coroutine() -> None:
    async def reply(request: PredictionRequest) -> Reply:
        await asyncio.sleep(0)
        return Reply(f"you said {request.last_user_text}")

    with Emulator(replies=reply) as server:
        assert Client(server.url).llm.model().respond("Hi").content == "you said Hi"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("method", ["unload", "expire", "advance", "drop_connections", "restart"])
def test_reply_function_may_call_a_method_of_the_emulator(method: str) -> None:
    arguments: dict[str, list[Any]] = {"unload": ["emulator/chat-2"], "expire": ["emulator/chat-2"], "advance": [3600]}

    def reply(request: PredictionRequest) -> Reply:
        getattr(server, method)(*arguments.get(method, ()))
        return Reply("one two")

    with Emulator(replies=reply) as server, RawClient(server) as raw_client:
        parameter = {"identifier": "emulator/chat-2", "loadConfigStack": {"layers": []}, "loadTtlMs": 1000}
        raw_client.until_end(raw_client.create("getOrLoad", parameter))
        channel = raw_client.create("predict", prediction(model="emulator/chat-2"))
        if method in ("drop_connections", "restart"):
            assert not any(packet["type"] == "success" for packet in packets(raw_client.until_cut()))
        else:
            reason = "eosFound" if method == "advance" else "modelUnloaded"  # an instance that answers does not expire
            assert stats(raw_client.until_end(channel))["stopReason"] == reason


@pytest.mark.parametrize("embeddings", [{"a": [1.0, 0.0]}, lambda text: [1, 0] if text == "a" else [0, 1]])
def test_given_vectors_are_the_embeddings_and_others_have_their_length(embeddings: Any) -> None:
    with Emulator(embeddings=embeddings) as server:
        vectors = Client(server.url).embedding.model("emulator/embedding").embed(["a", "b"])
    assert vectors[0] == [1.0, 0.0]
    assert len(vectors[1]) == 2
    assert vectors[1] != vectors[0]


def test_any_model_true_loads_a_model_of_any_name() -> None:
    with Emulator(any_model=True) as server:
        assert Client(server.url).llm.model("qwen/qwen3-4b").respond("Hi").model_info.identifier == "qwen/qwen3-4b"
    with Emulator() as server, pytest.raises(LMStudioServerError):
        Client(server.url).llm.model("qwen/qwen3-4b").respond("Hi")


def test_host_is_what_the_official_sdk_takes() -> None:
    with Emulator() as server:
        assert server.host == f"127.0.0.1:{server.port}"
        assert Client(server.host).system.version().version == "emulator"


async def test_emulator_is_an_asynchronous_context_manager_and_awaits_frames() -> None:
    async with Emulator() as server:
        client = AsyncClient(server.url)
        waiting = asyncio.ensure_future(server.wait_for_async(lambda frame: frame.message.get("endpoint") == "predict"))
        await (await client.llm.model()).respond("Hi")
        assert (await waiting).message["endpoint"] == "predict"
        await client.aclose()


# The pytest plugin


def test_importing_the_plugin_imports_neither_the_client_nor_pydantic() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import lmstudio_integrations.emulator.pytest_plugin; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(len(set(sys.modules) - before), *sorted(new & {'pydantic', 'websockets', 'asyncio', 'ssl'}))"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    number, *heavy = outcome.stdout.split()
    assert heavy == []
    assert int(number) <= 8, outcome.stdout


def test_marker_gives_the_fixture_its_arguments_and_the_environment(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os
        import pytest
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import EmulatedModel, Reply

        @pytest.mark.lmstudio_emulator(
            models=[EmulatedModel("some/model", loaded=True)], replies=[Reply("Hello")], strict=True, environment=True
        )
        def test_marked(lmstudio_emulator):
            assert os.environ["LMSTUDIO_BASE_URL"] == lmstudio_emulator.url
            assert Client().llm.model().respond("Hi").content == "Hello"

        def test_unmarked(lmstudio_emulator):
            assert lmstudio_emulator.loaded == ["emulator/chat", "emulator/embedding"]
            assert "LMSTUDIO_BASE_URL" not in os.environ
        """
    )
    outcome = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "--strict-markers")
    outcome.assert_outcomes(passed=2)


def test_strict_fixture_fails_the_test_that_leaves_a_reply(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nlmstudio_emulator_strict = true\n")
    pytester.makepyfile(
        """
        from lmstudio_integrations.emulator import Reply

        def test_leaves_a_reply(lmstudio_emulator):
            lmstudio_emulator.script(Reply("left over"))
        """
    )
    outcome = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=1, errors=1)
    outcome.stdout.fnmatch_lines(["*a reply was not used*left over*"])


PLUGIN_CASES = {
    "unused reply": ('lmstudio_emulator.script(Reply("left over"))', {"passed": 1, "errors": 1}, "a reply was not used: *left over"),
    "unused fault": ('lmstudio_emulator.faults.add("drop")', {"passed": 1, "errors": 1}, "the fault 'drop' did not happen"),
    "further prediction": (
        'lmstudio_emulator.script(Reply("a")); ask(); ask()', {"failed": 1}, "no reply is scripted for it"
    ),
    "failed test with an unused reply": ('lmstudio_emulator.script(Reply("a")); assert False', {"failed": 1}, "assert False"),
    "nothing scripted": ("assert 'emulator' in ask()", {"passed": 1}, "1 passed"),
    "all used": ('lmstudio_emulator.script(Reply("a")); assert ask() == "a"', {"passed": 1}, "1 passed"),
}  # fmt: skip


@pytest.mark.parametrize("case", PLUGIN_CASES)
def test_fixture_is_strict_once_a_test_has_scripted_something(pytester: pytest.Pytester, case: str) -> None:
    body, outcomes, words = PLUGIN_CASES[case]
    pytester.makepyfile(
        f"""
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Reply

        def test_it(lmstudio_emulator):
            def ask():
                with Client(lmstudio_emulator.url) as client:
                    return client.llm.model().respond("Hi").content
            {body}
        """
    )
    outcome = pytester.runpytest_inprocess(*QUIET)
    outcome.assert_outcomes(**outcomes)
    outcome.stdout.fnmatch_lines([f"*{words}*"])


def test_fixture_adds_no_error_to_that_of_another_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from lmstudio_integrations.emulator import Reply

        @pytest.fixture
        def broken(lmstudio_emulator):
            lmstudio_emulator.script(Reply("a"))
            raise RuntimeError("no database")

        def test_it(broken):
            pass
        """
    )
    outcome = pytester.runpytest_inprocess(*QUIET)
    outcome.assert_outcomes(errors=1)
    outcome.stdout.no_fnmatch_line("*a reply was not used*")


INI = """
[pytest]
lmstudio_emulator_models =
    qwen/qwen3-4b
    nomic-embed embedding
lmstudio_emulator_replies =
    Hello from the configuration
lmstudio_emulator_token = sk-lm-abcdefgh:ABCDEFGHIJKLMNOPQRST
lmstudio_emulator_environment = true
"""


def test_configuration_file_gives_models_replies_token_and_environment(pytester: pytest.Pytester) -> None:
    pytester.makefile(".ini", pytest=INI)
    pytester.makepyfile(
        """
        import os
        import pytest
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Reply

        def test_configured(lmstudio_emulator):
            assert lmstudio_emulator.loaded == ["qwen/qwen3-4b", "nomic-embed"]
            assert os.environ["LMSTUDIO_BASE_URL"] == lmstudio_emulator.url
            with Client() as client:
                assert client.llm.model().respond("Hi").content == "Hello from the configuration"

        @pytest.mark.lmstudio_emulator(replies=[Reply("from the marker")], environment=False, api_token=None)
        def test_marked(lmstudio_emulator):
            assert "LMSTUDIO_BASE_URL" not in os.environ
            with Client(lmstudio_emulator.url) as client:
                assert client.llm.model("qwen/qwen3-4b").respond("Hi").content == "from the marker"
        """
    )
    outcome = pytester.runpytest_inprocess(*QUIET, "--strict-config", "--strict-markers")
    outcome.assert_outcomes(passed=2)


def test_markers_of_module_class_and_test_add_up(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from lmstudio_integrations.emulator import EmulatedModel

        pytestmark = pytest.mark.lmstudio_emulator(models=[EmulatedModel("a", loaded=True)], strict=False)

        @pytest.mark.lmstudio_emulator(prefix="/of-the-class")
        class TestIt:
            @pytest.mark.lmstudio_emulator(prefix="/lm")
            def test_it(self, lmstudio_emulator):
                assert lmstudio_emulator.loaded == ["a"]
                assert lmstudio_emulator.url.endswith("/lm")
        """
    )
    pytester.runpytest_inprocess(*QUIET).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "ini", "words"),
    [
        ("strct=True", "", "did you mean 'strict'"),
        ("[1]", "", "expected keywords, such as models="),
        ("environment='yes'", "", "expected True or False, got 'yes'"),
        ("models=['a']", "", "expected EmulatedModel, got 'a'"),
        ("", "lmstudio_emulator_strict = maybe", "lmstudio_emulator_strict: expected one of"),
        ("", "lmstudio_emulator_models = a lmm", "did you mean 'llm'"),
        ("", "lmstudio_emulator_token = secret", "expected an api_token of the form"),
    ],
)
def test_mistake_in_marker_or_configuration_is_an_error_that_names_it(
    pytester: pytest.Pytester, marker: str, ini: str, words: str
) -> None:
    pytester.makefile(".ini", pytest=f"[pytest]\n{ini}\n")
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.lmstudio_emulator({marker})
        def test_it(lmstudio_emulator):
            pass
        """
    )
    outcome = pytester.runpytest_inprocess(*QUIET)
    outcome.assert_outcomes(errors=1)
    outcome.stdout.fnmatch_lines([f"E *{words.replace('[', '[[]')}*"])


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_fixture_works_with_two_workers_of_xdist(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(
        """
        import os
        import pytest
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Reply

        @pytest.mark.parametrize("number", range(6))
        @pytest.mark.lmstudio_emulator(environment=True)
        def test_worker(lmstudio_emulator, number):
            assert "PYTEST_XDIST_WORKER" in os.environ
            lmstudio_emulator.script(Reply(str(number)))
            with Client() as client:
                assert client.llm.model().respond("Which?").content == str(number)
            assert len(lmstudio_emulator.predictions) == 1
        """
    )
    outcome = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-n", "2")
    outcome.assert_outcomes(passed=6)
