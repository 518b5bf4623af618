# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium for tests of the page: Debian's chromium and chromium-driver, or CHROME and CHROMEDRIVER."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

# Nothing in the background may call anybody: what is seen on the network is the page's own.
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--lang=en",
]


@dataclass(frozen=True)
class Screen:
    width: int = 1200
    height: int = 800
    scale: float = 1
    is_phone: bool = False
    is_dark: bool = False


DESKTOP = Screen()
PHONE = Screen(390, 844, 2, is_phone=True)


def join_page() -> Path:
    """The page as it is embedded, joined from its parts."""
    out = Path(tempfile.mkdtemp(prefix="veloz-page-"))
    subprocess.run(["cmake", f"-DOUT={out}", "-P", ROOT / "src/http/page/join.cmake"], check=True)
    return out / "index.html"


class Browser:
    def __init__(self) -> None:
        options = Options()
        options.binary_location = os.environ.get("CHROME") or shutil.which("chromium") or "chromium"
        for argument in ARGUMENTS:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver_path = os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver") or "chromedriver"
        self.driver = webdriver.Chrome(service=Service(driver_path), options=options)
        self.show_as(DESKTOP)

    def close(self) -> None:
        self.driver.quit()

    def show_as(self, screen: Screen) -> None:
        metrics = {"width": screen.width, "height": screen.height, "deviceScaleFactor": screen.scale}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "mobile": screen.is_phone})
        scheme = {"name": "prefers-color-scheme", "value": "dark" if screen.is_dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def console_errors(self) -> list[str]:
        """Since the last call; the browser counts an answer of 400 and more as one."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def requested_urls(self) -> list[str]:
        """All that the page asked the network for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
