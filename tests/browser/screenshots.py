# SPDX-License-Identifier: Apache-2.0
"""Takes the pictures of the page that the docs show, with a made-up server behind it:

python3 tests/browser/screenshots.py docs/images
"""

import json
import random
import sys
import threading
import time
import urllib.request
from pathlib import Path

from browser import PHONE, Browser, Screen, join_page
from fake_openai_server import Behaviour, FakeServer, serving
from selenium.webdriver.common.by import By

LIVE_SECONDS = 75
QUESTION = "What does in-flight batching change for someone who is waiting for an answer?"
ANSWER = """It means that **nobody waits for the slowest request**. The engine decides anew before every step who takes part:

1. A request that has ended gives its place and its cache blocks back at once.
2. A new one joins in the next step; its prompt is cut into chunks, so that the others keep streaming.
3. If memory runs short, the youngest is paused and computed again later, with the same tokens.

In a loop, that is all there is to it:

```python
while scheduler.has_work():
    batch = scheduler.schedule(now())
    tokens = session.run(batch)
    scheduler.apply(tokens)
```

| | Static batches | In flight |
|---|---|---|
| First token | after the whole batch | after the next step |
| Idle places | until the slowest ends | none |
"""


def ask(browser: Browser, text: str) -> None:
    browser.driver.find_element(By.ID, "prompt").send_keys(text)
    browser.driver.find_element(By.ID, "send").click()


def wait_for_answer(browser: Browser) -> None:
    while not browser.run("return document.getElementById('stop').hidden"):
        time.sleep(0.1)


def keep_busy(server: FakeServer, until: float) -> None:
    """Requests that come and go, so that the charts have something to show."""

    def request(num_tokens: int) -> None:
        body = {"prompt": [1] * random.randint(50, 900), "max_tokens": num_tokens, "stream": True}
        url = f"{server.url}/v1/completions"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode())) as answer:
            answer.read()

    random.seed(4)
    while time.monotonic() < until:
        threading.Thread(target=request, args=(random.randint(40, 160),), daemon=True).start()
        time.sleep(random.expovariate(1.6))


def take(browser: Browser, path: Path) -> None:
    browser.driver.save_screenshot(str(path))
    print(f"{path}: {path.stat().st_size // 1024} KiB")


def main() -> int:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    page = join_page()
    browser = Browser()
    behaviour = Behaviour(
        ttft_s=0.14, itl_s=0.022, answer=ANSWER, slots=12, model="tiny-llama", spread=0.6, files={"/": page}
    )
    with serving(behaviour) as server:
        browser.show_as(Screen(1180, 860))
        browser.driver.get(server.url)
        for question in ["Summarise this week's release notes", "Why is the sky blue?"]:
            ask(browser, question)
            wait_for_answer(browser)
            browser.driver.find_element(By.ID, "new-chat").click()
        ask(browser, QUESTION)
        wait_for_answer(browser)
        browser.run("document.activeElement.blur()")
        take(browser, out / "chat.png")
        browser.show_as(PHONE)
        time.sleep(0.5)
        take(browser, out / "chat-phone.png")
        browser.show_as(Screen(1180, 860, is_dark=True))
        browser.driver.find_element(By.ID, "tab-live").click()
        keep_busy(server, time.monotonic() + LIVE_SECONDS)
        take(browser, out / "live-dark.png")
    browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
