# SPDX-License-Identifier: Apache-2.0
"""Drives the page in headless Chromium: against a made-up server, and as `veloz serve` serves it."""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browser import DESKTOP, PHONE, ROOT, Browser, Screen, join_page
from fake_openai_server import Behaviour, FakeServer, serving
from frozen_thread import FrozenThread
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

TIMEOUT_S = 20
START_S = 120  # in which a model is built and loaded, too
DEMO_PROMPT = (ROOT / "models/tiny-llama/demo_prompt.txt").read_text().replace("\n", " ")
ANSWER = """A **bold** word, *one* in italics and `code`.

1. first
2. second
   - inner

```python
print("<b>hi</b>")
```

| a | b |
|---|---|
| 1 | 2 |

> quoted

[a link](https://example.org/x) and [a trap](javascript:alert(1)) <img src=x onerror="window.trapped=1">
<script>window.trapped = 1</script>"""


class PageTest(unittest.TestCase):
    """Each test has a server, and so an origin with empty storage, of its own."""

    browser: Browser
    page: Path

    @classmethod
    def setUpClass(cls) -> None:
        cls.browser = Browser()
        cls.page = join_page()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.browser.close()
        shutil.rmtree(cls.page.parent)

    def open(self, screen: Screen = DESKTOP, **behaviour: Any) -> FakeServer:
        defaults = {"ttft_s": 0.02, "itl_s": 0.002, "answer": ANSWER, "files": {"/": self.page}}
        stack = contextlib.ExitStack()
        server = stack.enter_context(serving(Behaviour(**{**defaults, **behaviour})))
        self.addCleanup(stack.close)
        self.browser.show_as(screen)
        self.browser.console_errors()
        self.browser.requested_urls()
        self.origin = server.url
        self.expected_errors = 0
        self.browser.driver.get(server.url)
        self.addCleanup(self.leave)
        self.wait(lambda: self.text("#model-name") != "")
        return server

    def leave(self) -> None:
        """What holds after every test: nothing in the console, nothing asked of anybody else."""
        errors = self.browser.console_errors()
        self.assertEqual(len(errors), self.expected_errors, errors)
        for url in self.browser.requested_urls():
            self.assertTrue(url.startswith((self.origin + "/", "data:")), url)
        self.assertIsNone(self.browser.run("return window.trapped ?? null"))

    def wait(self, is_true: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> Any:
        deadline = time.monotonic() + timeout_s
        while not (value := is_true()):
            self.assertLess(time.monotonic(), deadline, "waited too long")
            time.sleep(0.02)
        return value

    def find(self, selector: str) -> WebElement:
        return self.browser.driver.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        return self.browser.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        # Re-rendering replaces elements: read in one go.
        return str(
            self.browser.run("return [...document.querySelectorAll(arguments[0])].at(-1)?.innerText ?? ''", selector)
        )

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def is_done(self) -> bool:
        return bool(self.browser.run("return document.getElementById('stop').hidden"))

    def send(self, text: str) -> None:
        self.find("#prompt").send_keys(text)
        self.click("#send")

    def ask(self, text: str) -> None:
        self.send(text)
        self.wait(self.is_done)


class ChatTest(PageTest):
    def test_an_answer_streams_and_shows_its_speed(self) -> None:
        server = self.open(answer=None, itl_s=0.05)
        self.find("#open-settings").click()
        self.find("#set-max_tokens").send_keys("60")
        self.send("Tell me")
        lengths = set()
        while not self.is_done():
            lengths.add(len(self.text(".answer")))
            time.sleep(0.05)
        self.assertGreater(len(lengths), 3)
        self.assertEqual(len(self.text(".answer").split()), 60)
        self.assertRegex(self.text(".stats"), r"^TTFT \d+ ms · 60 tokens · \d+(\.\d)? tokens/s$")
        body = server.requests[0].body
        self.assertEqual(body["messages"], [{"role": "user", "content": "Tell me"}])
        self.assertEqual((body["stream"], body["model"], body["max_tokens"]), (True, "fake-model", 60))

    def test_stopping_keeps_the_text_and_tells_the_server(self) -> None:
        server = self.open(answer=None, itl_s=0.05)
        self.send("Tell me")
        self.wait(lambda: len(self.text(".answer").split()) > 3)
        self.click("#stop")
        self.wait(lambda: self.text(".continue") == "Continue")
        self.assertGreater(len(self.text(".answer").split()), 3)
        self.wait(lambda: server.requests[0].is_cut)

    def test_a_stopped_answer_can_be_continued_to_its_end(self) -> None:
        server = self.open(answer="one two three four five six seven eight nine ten", itl_s=0.5)
        self.send("Count")
        self.wait(lambda: "three" in self.text(".answer"))
        self.find("#prompt").send_keys(Keys.ESCAPE)
        self.wait(lambda: self.text(".continue"))
        begun = self.text(".answer")
        self.click(".continue")
        self.wait(self.is_done)
        self.assertEqual(self.text(".answer"), "one two three four five six seven eight nine ten")
        body = server.requests[1].body
        self.assertEqual(body["messages"][-1], {"role": "assistant", "content": begun})
        self.assertEqual((body["continue_final_message"], body["add_generation_prompt"]), (True, False))
        self.assertEqual(self.find_all(".continue"), [])

    def test_regenerating_asks_the_same_again(self) -> None:
        server = self.open()
        self.ask("Why?")
        self.click("[aria-label=Regenerate]")
        self.wait(lambda: len(server.requests) == 2)
        self.wait(self.is_done)
        self.assertEqual(server.requests[1].body["messages"], server.requests[0].body["messages"])
        self.assertEqual(len(self.find_all(".message")), 2)

    def test_editing_a_message_drops_what_came_after(self) -> None:
        server = self.open(answer="fine")
        self.ask("first")
        self.ask("second")
        self.find(".message.user").click()
        self.click(".message.user [aria-label=Edit]")
        area = self.find(".editor textarea")
        self.assertEqual(area.get_attribute("value"), "first")
        area.send_keys(" again")
        self.click(".editor .primary")
        self.wait(lambda: len(server.requests) == 3)
        self.wait(self.is_done)
        self.assertEqual(server.requests[2].body["messages"], [{"role": "user", "content": "first again"}])
        self.assertEqual(len(self.find_all(".message")), 2)

    def test_a_conversation_is_sent_whole(self) -> None:
        server = self.open(answer="fine")
        self.ask("first")
        self.ask("second")
        roles = [message["role"] for message in server.requests[1].body["messages"]]
        self.assertEqual(roles, ["user", "assistant", "user"])

    def test_settings_are_sent_and_empty_ones_are_not(self) -> None:
        server = self.open(answer="fine")
        self.ask("bare")
        self.click("#open-settings")
        sampling = {
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "min_p": 0.05,
            "repetition_penalty": 1.1,
            "presence_penalty": 0.2,
            "frequency_penalty": -0.3,
            "max_tokens": 50,
            "seed": 7,
        }
        for field, value in {"system": "Be brief.", **sampling}.items():
            self.find(f"#set-{field}").send_keys(str(value))
        self.assertEqual(self.find_all("#settings :invalid"), [])
        self.ask("with settings")
        bare, full = server.requests[0].body, server.requests[1].body
        for field, value in sampling.items():
            self.assertNotIn(field, bare)
            self.assertEqual(full[field], value)
        self.assertEqual(full["messages"][0], {"role": "system", "content": "Be brief."})
        self.click("#reset-settings")
        self.ask("reset")
        self.assertNotIn("temperature", server.requests[2].body)

    def test_asks_for_a_key_where_the_server_wants_one(self) -> None:
        server = self.open(api_key="secret", answer="fine")
        self.expected_errors = 1
        self.assertEqual(self.text("#model-name"), "API key needed")
        self.assertEqual(self.browser.run("return document.activeElement.id"), "set-key")
        self.find("#set-key").send_keys("secret" + Keys.TAB)
        self.wait(lambda: self.text("#model-name") == "fake-model")
        self.ask("hello")
        self.assertEqual(self.text(".answer"), "fine")
        self.assertEqual(server.requests[0].headers["Authorization"], "Bearer secret")
        self.assertNotIn("secret", self.browser.run("return JSON.stringify(localStorage)"))

    def test_a_failure_is_shown_and_can_be_tried_again(self) -> None:
        self.open(fail=lambda number: "500" if number == 0 else None, answer="fine")
        self.expected_errors = 1
        self.ask("hello")
        self.assertEqual(self.text(".problem"), "made-up failure 500")
        self.click("[aria-label=Regenerate]")
        self.wait(lambda: self.is_done() and self.text(".answer") == "fine")
        self.assertEqual(self.find_all(".problem"), [])

    def test_a_lost_connection_keeps_the_text_for_continuing(self) -> None:
        kinds = {0: "break", 1: "error-event"}
        # Slowly: what a browser has not handed on when the connection breaks is lost to the page.
        self.open(fail=kinds.get, answer="one two three four", itl_s=0.5)
        self.expected_errors = 1
        self.ask("hello")
        self.assertEqual(self.text(".answer"), "one two")
        self.assertNotEqual(self.text(".problem"), "")
        self.click(".continue")
        self.wait(lambda: self.is_done() and "made-up failure in the stream" in self.text(".problem"))
        self.click(".continue")
        self.wait(lambda: self.is_done() and self.text(".answer") == "one two three four")

    def test_enter_sends_and_shift_enter_does_not(self) -> None:
        server = self.open(answer="fine")
        self.find("#prompt").send_keys("a", Keys.SHIFT, Keys.ENTER, Keys.NULL, "b")
        self.assertEqual(server.requests, [])
        self.find("#prompt").send_keys(Keys.ENTER)
        self.wait(lambda: len(server.requests) == 1)
        self.assertEqual(server.requests[0].body["messages"][0]["content"], "a\nb")
        self.wait(self.is_done)
        self.find("#prompt").send_keys("  ", Keys.ENTER)
        self.assertEqual(len(server.requests), 1)

    def test_chats_survive_a_reload_and_can_be_deleted(self) -> None:
        self.open(answer="fine")
        self.ask("the first question")
        self.click("#new-chat")
        self.ask("the second question")
        self.browser.driver.refresh()
        self.wait(lambda: len(self.find_all(".chat-row")) == 2)
        self.assertEqual(
            [row.text for row in self.find_all(".chat-row")], ["the second question", "the first question"]
        )
        self.find_all(".chat-row .open")[1].click()
        self.assertEqual(self.text(".bubble"), "the first question")
        self.assertEqual(self.text(".answer"), "fine")
        self.click(".chat-row.current [aria-label^=Delete]")
        self.assertEqual([row.text for row in self.find_all(".chat-row")], ["the second question"])
        self.assertIn("What shall we talk about?", self.text("#thread"))

    def test_damaged_storage_does_not_break_the_page(self) -> None:
        self.open(answer="fine")
        for value in ["{", "7", '[{"id": 1}, {"id": "x", "messages": [{"role": "system"}]}]']:
            self.browser.run("localStorage.setItem('veloz.chats', arguments[0])", value)
            self.browser.run("localStorage.setItem('veloz.settings', arguments[0])", value)
            self.browser.driver.refresh()
            self.wait(lambda: self.text("#model-name") == "fake-model")
            self.assertEqual(self.find_all(".chat-row"), [])

    def test_markdown_becomes_elements(self) -> None:
        self.open()
        self.ask("Show me")
        for selector, text in [
            (".answer strong", "bold"),
            (".answer em", "one"),
            (".answer p code", "code"),
            (".answer ol > li:nth-child(2) > ul > li", "inner"),
            (".answer pre code", 'print("<b>hi</b>")'),
            (".answer .code-head span", "python"),
            (".answer td:nth-child(2)", "2"),
            (".answer blockquote", "quoted"),
        ]:
            self.assertEqual(self.text(selector), text, selector)

    def test_the_models_text_cannot_become_anything_but_text(self) -> None:
        self.open()
        self.ask("Show me")
        for tag in ["img", "script", "iframe", "b"]:
            self.assertEqual(self.find_all(f".answer {tag}"), [], tag)
        links = [link.get_attribute("href") for link in self.find_all(".answer a")]
        self.assertEqual(links, ["https://example.org/x"])
        self.assertEqual(self.find(".answer a").get_attribute("rel"), "noopener noreferrer nofollow")
        self.assertIn("<img src=x", self.text(".answer"))
        self.assertIn("javascript:alert(1)", self.text(".answer"))


class LookTest(PageTest):
    def background(self) -> tuple[int, ...]:
        color = self.browser.run("return getComputedStyle(document.body).backgroundColor")
        return tuple(int(part) for part in color[4:-1].split(","))

    def test_follows_dark_mode_and_remembers_a_choice(self) -> None:
        self.open(Screen(is_dark=True))
        self.assertLess(max(self.background()), 64)
        self.click("[data-theme-choice=light]")
        self.assertGreater(min(self.background()), 240)
        self.browser.driver.refresh()
        self.assertGreater(min(self.background()), 240)

    def test_text_is_readable_in_both_themes(self) -> None:
        contrast = """
          const rgb = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
          const light = (color) => {
            const [r, g, b] = rgb(color).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = (node) => {
            for (; node; node = node.parentElement) {
              const color = getComputedStyle(node).backgroundColor;
              if (!color.startsWith("rgba(0, 0, 0, 0)")) return color;
            }
          };
          return [...document.querySelectorAll(arguments[0])].map((node) => {
            const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
          });"""
        for is_dark in False, True:
            self.open(Screen(is_dark=is_dark), answer="fine [link](https://example.org)")
            self.ask("hello")
            texts = ".bubble, .answer p, .answer a, .stats, .hint, .note, .model, .tabs button, .button, .open"
            ratios = self.browser.run(contrast, texts)
            self.assertGreater(len(ratios), 8)
            self.assertGreaterEqual(min(ratios), 4.5)

    def test_fits_a_phone(self) -> None:
        self.open(PHONE)
        self.ask("Show me a very long word: " + "x" * 200)
        self.assertLessEqual(self.browser.run("return document.scrollingElement.scrollWidth"), 390)
        self.assertLessEqual(self.browser.run("return document.getElementById('thread').scrollWidth"), 390)
        box = self.find("#composer").rect
        self.assertLessEqual(box["y"] + box["height"], 844)
        self.assertFalse(self.find("#sidebar").is_displayed())
        self.click("#open-sidebar")
        self.wait(lambda: self.find("#sidebar").is_displayed() and self.find("#new-chat").rect["x"] >= 0)
        time.sleep(0.25)  # it slides in
        self.click("#new-chat")
        self.wait(lambda: not self.find("#sidebar").is_displayed())
        self.click("#open-settings")
        self.assertLessEqual(self.find("#settings").rect["width"], 390)
        self.click("#close-settings")
        self.click("#tab-live")
        self.assertLessEqual(self.browser.run("return document.getElementById('live').scrollWidth"), 390)

    def test_everything_that_acts_has_a_name(self) -> None:
        self.open()
        self.ask("hello")
        nameless = self.browser.run("""
          return [...document.querySelectorAll("button, input, select, textarea, a, [role=img]")]
            .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length))
            .map((node) => node.outerHTML);""")
        self.assertEqual(nameless, [])

    def test_tabs_follow_the_arrow_keys(self) -> None:
        self.open()
        self.find("#tab-chat").send_keys(Keys.ARROW_RIGHT)
        self.assertEqual(self.browser.run("return document.activeElement.id"), "tab-live")
        self.assertTrue(self.find("#view-live").is_displayed())
        self.assertEqual(self.find("#tab-live").get_attribute("aria-selected"), "true")
        self.assertFalse(self.find("#view-chat").is_displayed())


class LiveTest(PageTest):
    def card(self, title: str) -> str:
        """What a screen reader says of a chart."""
        script = (
            "return document.querySelector(`svg[aria-label^='${arguments[0]}:']`)?.getAttribute('aria-label') ?? ''"
        )
        return str(self.browser.run(script, title))

    def output_rate(self) -> float:
        found = re.search(r"output ([\d.]+)", self.card("Tokens per second"))
        return float(found[1]) if found else 0.0

    def test_shows_what_the_server_does(self) -> None:
        self.open(answer=None, ttft_s=0.04, itl_s=0.02)
        self.click("#open-settings")
        self.find("#set-max_tokens").send_keys("3000")
        self.send("Tell me much")
        self.click("#tab-live")
        self.wait(lambda: self.card("Requests") == "Requests: running 1, waiting 0")
        self.wait(lambda: self.card("KV cache") == "KV cache: in use 8.0 %")
        self.wait(lambda: self.card("Time per output token").startswith("Time per output token: median 1"))
        self.wait(lambda: self.browser.run("return document.querySelectorAll('.curve').length") >= 5)
        self.wait(lambda: abs(self.output_rate() - 50) < 15)
        self.assertEqual(self.text(".state"), "Connected")
        number = r"[\d.]+ m?s"
        self.wait(
            lambda: re.fullmatch(
                rf"Time to first token: median {number}, P99 {number}", self.card("Time to first token")
            )
        )
        self.wait(lambda: re.fullmatch(rf"Time per output token: .*, P99 {number}", self.card("Time per output token")))
        self.wait(lambda: self.card("Batch size").startswith("Batch size: tokens a step 1.0, steps/s"))
        self.click("#tab-chat")
        self.click("#stop")
        self.click("#tab-live")
        self.wait(lambda: self.card("Requests") == "Requests: running 0, waiting 0")

    def test_shows_how_many_wait(self) -> None:
        server = self.open(answer=None, ttft_s=TIMEOUT_S, slots=1)
        self.send("first")
        self.wait(lambda: server.running == 1)
        body = json.dumps({"messages": [], "stream": True, "max_tokens": 1}).encode()
        for _ in range(3):
            other = http.client.HTTPConnection("127.0.0.1", server.server_port)
            self.addCleanup(other.close)
            other.request("POST", "/v1/chat/completions", body)
        self.click("#tab-live")
        self.wait(lambda: self.card("Requests") == "Requests: running 1, waiting 3")
        self.click("#tab-chat")
        self.click("#stop")

    def test_is_not_polled_while_nobody_looks(self) -> None:
        self.open()
        time.sleep(2.5)
        self.assertFalse(any(url.endswith("/metrics") for url in self.browser.requested_urls()))

    def test_says_why_there_is_nothing_to_show(self) -> None:
        self.open(has_metrics=False)
        self.click("#tab-live")
        self.wait(lambda: self.text(".state") == "no path /metrics")
        self.click("#tab-chat")
        for _ in range(5):  # until the last poll has ended
            time.sleep(2.2)  # time for two more
            errors = self.browser.console_errors()
            self.assertTrue(all("404" in error for error in errors), errors)
            if not errors:
                break


class ServedTest(PageTest):
    """As the program serves it, policy and all."""

    def open_served(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        directory = tempfile.mkdtemp(prefix="veloz-browser-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        command = [os.environ["VELOZ_BINARY"], "serve", str(ROOT / "models/tiny-llama"), "--port", str(port)]
        self.process = process = subprocess.Popen(
            command,
            env={**os.environ, "XDG_CACHE_HOME": directory, "VELOZ_THREADS": "2"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.origin = f"http://127.0.0.1:{port}"
        self.wait(self.is_ready, START_S)
        self.browser.show_as(DESKTOP)
        self.browser.console_errors()
        self.browser.requested_urls()
        self.expected_errors = 0
        self.browser.driver.get(self.origin)
        self.addCleanup(self.leave)
        self.wait(lambda: self.text("#model-name") not in ("", "no model", "model is loading"))

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.origin}/readyz") as answer:
            return bool(answer.status == 200)
        return False

    def test_chats_with_the_bundled_model(self) -> None:
        self.open_served()
        self.ask(DEMO_PROMPT)
        self.assertIn("Tomas", self.text(".answer"))
        self.assertRegex(self.text(".stats"), r"TTFT .* tokens/s$")

    def test_a_stopped_answer_goes_on_from_where_it_stopped(self) -> None:
        self.open_served()
        self.click("#open-settings")
        self.find("#set-temperature").send_keys("0")
        self.ask(DEMO_PROMPT)
        whole = self.text(".answer")
        begun = self.stop_midway()
        self.assertTrue(whole.startswith(begun), begun)
        self.assertLess(len(begun), len(whole))
        self.wait(self.is_cancelled)
        self.click(".continue")
        self.wait(self.is_done)
        self.assertEqual(self.text(".answer"), whole)
        self.assertEqual(self.find_all(".continue"), [])

    def stop_midway(self) -> str:
        """Asks again and stops the answer. The model writes faster than a test can click, so it gets moments only."""
        while True:
            with FrozenThread(self.process.pid, "veloz-pool"):
                self.click("[aria-label=Regenerate]")
            while True:
                with FrozenThread(self.process.pid, "veloz-pool"):
                    time.sleep(0.1)  # what was sent is shown
                    if self.is_done():
                        break  # a moment was too long
                    if self.text(".answer"):
                        self.click("#stop")
                        self.wait(self.is_done)
                        return self.text(".answer")

    def is_cancelled(self) -> bool:
        with urllib.request.urlopen(f"{self.origin}/metrics") as answer:
            metrics = answer.read().decode()
        return re.search(r'request_success_total\{.*finished_reason="abort".*\} 1\n', metrics) is not None

    def test_every_card_of_the_live_view_shows_what_the_engine_does(self) -> None:
        self.open_served()
        is_seen = threading.Event()
        load = threading.Thread(target=self.keep_busy, args=(is_seen,))
        load.start()
        self.addCleanup(load.join)
        self.addCleanup(is_seen.set)
        self.click("#tab-live")
        self.wait(lambda: self.text(".state") == "Connected")
        self.wait(lambda: "–" not in self.text("#live"))

    def keep_busy(self, is_over: threading.Event) -> None:
        body = json.dumps({"prompt": "Once", "max_tokens": 200, "ignore_eos": True, "n": 8}).encode()
        headers = {"Content-Type": "application/json"}
        while not is_over.is_set():
            request = urllib.request.Request(f"{self.origin}/v1/completions", body, headers)
            with urllib.request.urlopen(request) as answer:
                answer.read()

    def test_its_policy_lets_nothing_else_run(self) -> None:
        self.open_served()
        self.browser.run("""
          const script = document.createElement("script");
          script.textContent = "window.trapped = 1";
          document.body.append(script);
          const image = new Image();
          image.src = "https://example.org/x.png";""")
        errors: list[str] = []
        while len(errors) < 2:  # of the script and of the image
            errors += self.wait(self.browser.console_errors)
        self.assertIsNone(self.browser.run("return window.trapped ?? null"))
        self.browser.requested_urls()


if __name__ == "__main__":
    unittest.main()
