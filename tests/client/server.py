# SPDX-License-Identifier: Apache-2.0
"""A `veloz serve` of a bundled model as a process, with the standard library alone."""

import atexit
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

BINARY = Path(os.environ["VELOZ_BINARY"])
MODELS = Path(os.environ["VELOZ_MODELS_DIR"])
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 30


class Server:
    """A server of one of the bundled models, or one in a directory, ready when the constructor returns. `tls` is what
    its clients trust."""

    def __init__(self, *flags: str, model: str = "tiny-llama", tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.dir = Path(tempfile.mkdtemp(prefix="veloz-client-"))
        self.log = self.dir / "log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("VELOZ_")}
        command = [BINARY, "serve", MODELS / model, "--port", "0", "--cache-dir", engine_cache(), *flags]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        atexit.register(self.stop)
        self._wait_until_ready()

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def _read_port(self) -> int:
        """The port it chose, from its first line; 0 while that is not written."""
        listening = re.search(rb"listens on https?://127\.0\.0\.1:(\d+)\n", self.log.read_bytes())
        return int(listening[1]) if listening else 0

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            self.port = self._read_port()
            try:
                if self.port and self.request("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        log = self.log.read_text(errors="replace")
        self.stop()
        raise RuntimeError(f"the server did not become ready:\n{log}")

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own: status, headers (lower case) and body."""
        if self.tls:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.tls)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        status, _, answer = self.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        return status, json.loads(answer)

    def metric(self, name: str) -> float:
        for line in self.request("GET", "/metrics")[2].decode().splitlines():
            if line.startswith(("veloz:" + name + "{", "veloz:" + name + " ")):
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(name)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
        return self.process.returncode


@cache
def engine_cache() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="veloz-engines-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory
