# SPDX-License-Identifier: Apache-2.0
"""Takes the pictures of the page that the docs show, as `veloz serve` serves the bundled model:

VELOZ_BINARY=build/release/veloz /usr/bin/python3 tests/browser/screenshots.py docs/images
"""

import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from browser import PHONE, ROOT, Browser, Screen
from selenium.webdriver.common.by import By

MODEL = ROOT / "models" / "tiny-llama"
LIVE_SECONDS = 100
REQUESTS_PER_S = 3
CHATS = [
    ["Hello"],
    ["Nora is a pilot. The pet of Nora is a goat. Nora has a home in Oslo. What animal does Nora have?"],
    [
        (MODEL / "demo_prompt.txt").read_text().split("\n")[0] + " What pet lives with Tomas?",
        "Which sport is Tomas good at?",
        "Tell me about Tomas.",
    ],
]


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The address of a server that is ready."""
    # With a cache that is small enough to be seen in use.
    flags = ["--port", "0", "--kv-cache-memory-bytes", str(64 << 20), "--disable-access-log", "--disable-log-stats"]
    command = [os.environ["VELOZ_BINARY"], "serve", str(MODEL), *flags]
    with tempfile.TemporaryDirectory(prefix="veloz-screenshots-") as cache:
        environment = {**os.environ, "XDG_CACHE_HOME": cache}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = re.findall(r"http://\S+", process.stdout.readline())[0]
            while True:
                with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(f"{url}/readyz"):
                    break
                time.sleep(0.1)
            yield url
            process.terminate()


def ask(browser: Browser, text: str) -> None:
    browser.driver.find_element(By.ID, "prompt").send_keys(text)
    browser.driver.find_element(By.ID, "send").click()


def wait_for_answer(browser: Browser) -> None:
    while not browser.run("return document.getElementById('stop').hidden"):
        time.sleep(0.1)


def keep_busy(url: str, until: float) -> None:
    """Requests that come and go, so that the charts have something to show."""

    def request(num_prompt_tokens: int, num_tokens: int) -> None:
        prompt = [random.randrange(1000) for _ in range(num_prompt_tokens)]
        body = {"prompt": prompt, "max_tokens": num_tokens, "ignore_eos": True}
        message = urllib.request.Request(
            f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(message) as answer:
            answer.read()

    random.seed(4)
    while time.monotonic() < until:
        lengths = random.randint(50, 400), random.randint(40, 500)
        threading.Thread(target=request, args=lengths).start()
        time.sleep(random.expovariate(REQUESTS_PER_S))


def take(browser: Browser, path: Path) -> None:
    browser.driver.save_screenshot(str(path))
    print(f"{path}: {path.stat().st_size // 1024} KiB")


def main() -> int:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    browser = Browser()
    with served() as url:
        browser.show_as(Screen(1180, 860))
        browser.driver.get(url)
        for questions in CHATS:
            browser.driver.find_element(By.ID, "new-chat").click()
            for question in questions:
                ask(browser, question)
                wait_for_answer(browser)
        browser.run("document.activeElement.blur()")
        take(browser, out / "chat.png")
        browser.show_as(PHONE)
        time.sleep(0.5)
        take(browser, out / "chat-phone.png")
        browser.show_as(Screen(1180, 860, is_dark=True))
        browser.driver.find_element(By.ID, "tab-live").click()
        keep_busy(url, time.monotonic() + LIVE_SECONDS)
        take(browser, out / "live-dark.png")
    browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
