"""Running the emulator: start and stop, the record of frames, the program, the pytest plugin."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from lmstudio_integrations.emulator import Emulator, RecordedFrame, Reply
from lmstudio_integrations.emulator.__main__ import main
from lmstudio_integrations.errors import LMStudioError, LMStudioValueError
from tests.emulator.raw_client import GUEST, RawClient, said
from tests.time_limits import SURE_TO_EXPIRE

pytestmark = pytest.mark.timeout(30)

pytest_plugins = ["pytester"]


def test_requests_and_sent_have_every_frame_in_one_order() -> None:
    with Emulator() as server, RawClient(server) as raw_client, RawClient(server, "system") as system:
        raw_client.predict()
        system.call("version")
        frames = sorted([*server.requests, *server.sent], key=lambda frame: frame.order)
        assert [frame.order for frame in frames] == list(range(1, len(frames) + 1))
        assert [frame.message for frame in server.requests][:1] == [GUEST]
        assert {(frame.namespace, frame.connection) for frame in frames} == {("llm", 1), ("system", 2)}
        assert {frame.direction for frame in server.sent} == {"server"}


def test_wait_for_finds_past_and_future_frames_and_explains_its_timeout() -> None:
    def version(frame: RecordedFrame) -> bool:
        return bool(frame.message.get("endpoint") == "version")

    with Emulator() as server, RawClient(server, "system") as raw_client:
        late = threading.Thread(target=lambda: raw_client.call("version"))
        late.start()
        first = server.wait_for(version)
        late.join()
        assert server.wait_for(version) == first
        with pytest.raises(TimeoutError, match="version"):
            server.wait_for(version, timeout=SURE_TO_EXPIRE, after=first.order)
        with pytest.raises(TimeoutError):
            server.wait_until(lambda: server.connections == 7, timeout=SURE_TO_EXPIRE)


def test_record_is_bounded_and_can_be_switched_off() -> None:
    with Emulator(record_limit=5) as server, RawClient(server) as raw_client:
        raw_client.predict()
        assert len(server.requests) + len(server.sent) == 5
        server.clear_record()
        assert server.sent == []
    with Emulator(record=False) as server, RawClient(server) as raw_client:
        raw_client.predict()
        assert server.requests == server.sent == []
        for wait in (server.wait_for, server.wait_for_sent):
            with pytest.raises(LMStudioValueError, match="record=False"):
                wait(lambda frame: True)


def test_stopped_emulator_leaves_no_thread_and_no_socket() -> None:
    def of_emulators() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "lmstudio-emulator"}

    before = of_emulators()
    server = Emulator().start()
    assert of_emulators() > before
    raw_client = RawClient(server)
    server.stop()
    server.stop()
    raw_client.close()
    assert of_emulators() <= before
    assert server.connections == 0
    gc.collect()  # an unclosed socket would warn here, and warnings are errors


def test_emulator_can_be_started_again_but_not_twice() -> None:
    server = Emulator(replies=[Reply("first")])
    with server:
        with pytest.raises(LMStudioError, match="already running"):
            server.start()
        with RawClient(server) as raw_client:
            assert said(raw_client.predict()) == "first"
    with server, RawClient(server) as raw_client:
        assert "emulator" in said(raw_client.predict())
    with pytest.raises(LMStudioError, match="is not running"):
        server.drop_connections()


def test_port_in_use_malformed_token_and_missing_model_raise() -> None:
    with Emulator() as server, pytest.raises(OSError, match="address"):
        Emulator(port=server.port).start()
    with pytest.raises(LMStudioValueError, match="api_token"):
        Emulator(api_token="secret")
    with pytest.raises(LMStudioError, match="no model file"):
        Emulator(model_path="/nowhere/model.gguf")


def test_program_prints_that_it_is_an_emulator(capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    stop.set()
    assert main(["--port", "0"], stop=stop) == 0
    printed = capsys.readouterr().out
    assert "It is not LM Studio" in printed
    assert "made up by a rule" in printed
    assert "ws://127.0.0.1:" in printed


def test_program_prints_why_it_cannot_start(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert main(["--model", str(tmp_path / "none.gguf")], stop=stop) == 1
    assert "could not start" in capsys.readouterr().err


class _Interrupted(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt


@pytest.mark.parametrize(("strict", "status"), [("true", 1), ("false", 0)])
def test_program_that_is_interrupted_checks_a_strict_scenario(
    strict: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text(f'{{"replies": [{{"text": "left over"}}], "strict": {strict}}}')
    assert main(["--scenario", str(scenario)], stop=_Interrupted()) == status
    assert ("a reply was not used" in capsys.readouterr().err) is bool(status)


def test_plugin_gives_each_test_a_new_emulator(request: pytest.FixtureRequest, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(
        """
        seen = []

        def test_one(lmstudio_emulator):
            seen.append(lmstudio_emulator.url)
            assert lmstudio_emulator.requests == []

        def test_two(lmstudio_emulator):
            assert lmstudio_emulator.url not in seen
        """
    )
    known = request.config.pluginmanager.has_plugin("lmstudio_emulator")  # by its entry point, if installed
    plugin = [] if known else ["-p", "lmstudio_integrations.emulator.pytest_plugin"]
    pytester.runpytest_inprocess(*plugin, "-p", "no:cacheprovider").assert_outcomes(passed=2)
