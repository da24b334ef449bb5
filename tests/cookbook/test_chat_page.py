"""The chat page, as a browser shows it: Streamlit in a process of its own, read and clicked by a headless Chromium."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("streamlit", reason="needs the dependency group `examples`")
pytest.importorskip("selenium", reason="needs the dependency group `examples`")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    pytest.skip("needs Chromium and its driver (Debian: chromium chromium-driver)", allow_module_level=True)

from selenium.common.exceptions import StaleElementReferenceException, TimeoutException  # noqa: E402
from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Keys  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply, ThreadsafeEvent, ToolCall  # noqa: E402

ROOT = Path(__file__).parents[2]
SECONDS = 20.0


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    models = [
        EmulatedModel("harbour/pilot", loaded=True),
        EmulatedModel("harbour/sleeper"),
        EmulatedModel("harbour/embedding", "embedding", loaded=True),
    ]
    with Emulator(models) as server:
        yield server


@pytest.fixture(scope="module")
def address(emulator: Emulator) -> Iterator[str]:
    """Where Streamlit serves the page."""
    options = {
        "server.headless": "true",
        "server.port": "0",
        "server.address": "127.0.0.1",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    command = [sys.executable, "-m", "streamlit", "run", "cookbook/chat_page.py"]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = {**os.environ, "LMSTUDIO_BASE_URL": emulator.url, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = (re.search(r"URL: (http://[\d.:]+)", line) for line in process.stdout)
            yield next(match[1] for match in found if match)
        finally:
            process.terminate()
            process.communicate()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for switch in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1000,900"):
        options.add_argument(switch)
    browser = Chrome(options=options, service=ChromeService(str(DRIVER)))
    try:
        yield browser
    finally:
        browser.quit()


class Page:
    """What a user sees and does."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def wait(self, condition: Callable[[], Any]) -> Any:
        waiting = WebDriverWait(self.browser, SECONDS, 0.05, [StaleElementReferenceException])
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(f"not within {SECONDS} s; the page shows:\n{self.text}") from None

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements(By.CSS_SELECTOR, selector))

    def ask(self, question: str) -> None:
        ready = "[data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
        self.wait(lambda: self.all(f"[data-testid=stApp]{ready}"))
        field = self.wait(lambda: [one for one in self.all("[data-testid=stChatInput] textarea") if one.is_enabled()])[
            0
        ]
        field.send_keys(question, Keys.ENTER)

    @property
    def text(self) -> str:
        return str(self.browser.find_element(By.CSS_SELECTOR, "body").text)

    def wait_for_text(self, text: str) -> None:
        self.wait(lambda: text in self.text)

    def button(self, label: str) -> Any:
        return self.wait(lambda: next((one for one in self.all("button") if label in one.text), None))

    def click_stop(self) -> None:
        # The page is drawn anew many times a second: a button that was replaced meanwhile is looked for again.
        self.wait(lambda: self.button("Stop").click() or True)

    def wait_until_complete(self) -> None:
        self.wait(lambda: not any("Stop" in one.text for one in self.all("button")))


@pytest.fixture
def page(chromium: Any, address: str, emulator: Emulator) -> Iterator[Page]:
    """The page in a new session, as after opening it."""
    emulator.clear_record()
    chromium.get(address)
    yield Page(chromium)
    chromium.get("about:blank")


def _is_cancel(frame: Any) -> bool:
    return bool(frame.message.get("message") == {"type": "cancel"})


def test_chat_page_streams_text_and_shows_statistics_below_it(page: Page, emulator: Emulator) -> None:
    hold = ThreadsafeEvent()
    emulator.script(Reply("The ferry leaves at seven.", hold=hold, hold_after=2))
    page.ask("When does the ferry leave?")
    page.wait_for_text("The ferry")
    assert "at seven" not in page.text
    hold.set()
    page.wait_for_text("The ferry leaves at seven.")
    page.wait_until_complete()
    assert re.search(r"\d+ prompt tokens · \d+ generated · [\d.]+ tokens/s · first after [\d.]+ s", page.text)


def test_chat_page_shows_progress_of_loading_and_of_prompt(page: Page, emulator: Emulator) -> None:
    loading, reading = ThreadsafeEvent(), ThreadsafeEvent()
    emulator.load_hold = loading
    emulator.script(Reply("Here I am.", progress=(0.0, 0.25), hold=reading, hold_after=0))
    try:
        page.wait(lambda: page.all("[data-testid=stSelectbox] input"))[0].send_keys("harbour/sleeper", Keys.ENTER)
        page.ask("Are you awake?")
        page.wait(lambda: re.search(r"Loading the model: [1-9]\d*%", page.text))
        loading.set()
        page.wait_for_text("Reading the prompt: 25%")
        assert page.all("[data-testid=stProgress]")
        reading.set()
        page.wait_for_text("Here I am.")
        page.wait(lambda: not page.all("[data-testid=stProgress]"))
    finally:
        emulator.load_hold = None
        loading.set()
        reading.set()


def test_chat_page_folds_reasoning_and_shows_tool_calls(page: Page, emulator: Emulator) -> None:
    emulator.script(
        Reply(reasoning="I must measure it first.", tool_calls=[ToolCall("depth_of_water", {"place": "south quay"})]),
        Reply("It is 9 metres deep."),
    )
    page.ask("How deep is it at the south quay?")
    page.wait_for_text("It is 9 metres deep.")
    page.wait_until_complete()
    assert "Reasoning" in page.text
    assert "depth_of_water(place='south quay')" in page.text
    assert "I must measure it first." not in page.text
    assert "2 rounds" in page.text
    for heading in page.all("[data-testid=stExpander] summary"):
        heading.click()
    page.wait_for_text("I must measure it first.")
    page.wait_for_text('"9 metres"')


@pytest.mark.parametrize("after", [0, 2], ids=["while_the_prompt_is_processed", "while_text_streams"])
def test_chat_page_stop_button_cancels_at_server(page: Page, emulator: Emulator, after: int) -> None:
    emulator.script(Reply("one two three four", hold=ThreadsafeEvent(), hold_after=after))
    page.ask("Count")
    page.wait_for_text("one two" if after else "Reading the prompt")
    assert not any(map(_is_cancel, emulator.requests))
    page.click_stop()
    emulator.wait_for(_is_cancel)
    page.wait_for_text("Stopped.")
    page.wait_until_complete()
    assert "three" not in page.text


def test_chat_page_goes_on_after_a_stop_with_the_conversation(page: Page, emulator: Emulator) -> None:
    emulator.script(Reply("one two three", hold=ThreadsafeEvent(), hold_after=1), Reply("Aye."))
    page.ask("Count")
    page.wait_for_text("one")
    page.click_stop()
    page.wait_for_text("Stopped.")
    page.ask("Go on")
    page.wait_for_text("Aye.")
    last = [frame.message for frame in emulator.requests if frame.message.get("endpoint") == "predict"][-1]
    roles = [message["role"] for message in last["creationParameter"]["history"]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_chat_page_cancels_at_server_if_tab_is_closed(page: Page, emulator: Emulator, address: str) -> None:
    emulator.script(Reply("one two three", hold=ThreadsafeEvent(), hold_after=1))
    first_tab = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    page.browser.get(address)
    page.ask("Count")
    page.wait_for_text("one")
    page.browser.close()
    page.browser.switch_to.window(first_tab)
    emulator.wait_for(_is_cancel)


def test_chat_page_shows_errors_of_the_server(page: Page, emulator: Emulator) -> None:
    emulator.script(Reply(error="The engine is out of memory"))
    page.ask("Hello")
    page.wait_for_text("The engine is out of memory")
    page.wait_until_complete()


def test_chat_page_loads_no_picture_that_a_model_names(page: Page, emulator: Emulator) -> None:
    emulator.script(Reply("Look: ![a map](http://127.0.0.1:9/map.png) and that was it."))
    page.ask("Show me a map")
    page.wait_for_text("and that was it.")
    page.wait_until_complete()
    assert "![a map](" in page.text
    assert not [image for image in page.all("img") if "map.png" in image.get_attribute("src")]


def test_chat_page_looks_as_in_the_picture_of_the_documentation(page: Page, emulator: Emulator, tmp_path: Path) -> None:
    """Write the screenshot; with ``UPDATE_IMAGES=1`` in the environment to docs/images."""
    emulator.script(
        Reply(
            reasoning="The depth is in the tool, not in my memory. I ask for the south quay.",
            tool_calls=[ToolCall("depth_of_water", {"place": "south quay"}), ToolCall("wind", {"unit": "knots"})],
        ),
        Reply(
            "At the south quay the water is **9 metres** deep.\n\nThe wind is 12 knots from the west: the ferry can sail.",
            pace=0.02,
        ),
        Reply("The yellow crane on the south quay lifts up to forty", hold=ThreadsafeEvent()),
    )
    page.ask("Can the ferry come to the south quay today?")
    page.wait_for_text("the ferry can sail.")
    page.wait_until_complete()
    page.ask("And what does the crane lift?")
    page.wait_for_text("up to forty")
    page.button("Stop")
    update = os.environ.get("UPDATE_IMAGES") == "1"
    picture = (ROOT / "docs" / "images" if update else tmp_path) / "chat_page.png"
    picture.parent.mkdir(exist_ok=True)
    assert page.browser.save_screenshot(str(picture))
    assert 10_000 < picture.stat().st_size < 300_000
    page.click_stop()
    page.wait_until_complete()
