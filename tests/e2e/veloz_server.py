# SPDX-License-Identifier: Apache-2.0
"""Runs `veloz serve` for tests, on a port of its own, and talks to it."""

import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from veloz_cli import TIMEOUT_S, CliTest

START_S = max(60, TIMEOUT_S)


class Server:
    """A running server. `log` grows while it runs; `wait` gives its exit code. `tls` is what its clients trust."""

    def __init__(self, process: subprocess.Popen[str], tls: ssl.SSLContext | None = None) -> None:
        self.process = process
        self.tls = tls
        self.log: list[str] = []
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"listens on (https?://\S+)", line)
        if not found:
            raise AssertionError(f"no address in {line!r}: {process.communicate()[1]}")
        self.url = found[1]
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(line.rstrip("\n") for line in self.process.stderr)

    def connect(self) -> http.client.HTTPConnection:
        address = urlsplit(self.url).netloc
        if self.tls is None:
            return http.client.HTTPConnection(address, timeout=START_S)
        return http.client.HTTPSConnection(address, timeout=START_S, context=self.tls)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        data = None if body is None else json.dumps(body)
        fields = {"Content-Type": "application/json"} if data is not None else {}
        connection.request(method, path, data, fields | (headers or {}))
        response = connection.getresponse()
        result = (response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
        connection.close()
        return result

    def status(self, path: str, headers: dict[str, str] | None = None) -> int:
        return self.request("GET", path, headers=headers)[0]

    def complete(self, headers: dict[str, str] | None = None, **fields: Any) -> tuple[int, Any]:
        body = {"prompt": "Once upon a time", "max_tokens": 4, "temperature": 0} | fields
        status, _, text = self.request("POST", "/v1/completions", body, headers)
        return status, json.loads(text)

    def wait_ready(self) -> None:
        end = time.monotonic() + START_S
        while self.status("/readyz") != 200:
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("\n".join(self.log))
            time.sleep(0.05)

    def wait_for_log(self, part: str) -> str:
        """The first line that holds `part`, once there is one."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            for line in list(self.log):
                if part in line:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no line with {part!r} in:\n" + "\n".join(self.log))

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sent)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(timeout=START_S)
        self._reader.join(timeout=START_S)
        return code


class ServeTest(CliTest):
    def serve(self, model: Path, *flags: str, **options: Any) -> Server:
        return self.serve_as(model, "--port", "0", *flags, **options)

    def serve_as(
        self,
        *arguments: str | Path,
        env: dict[str, str] | None = None,
        wait: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> Server:
        process = self.start("serve", *arguments, env=self.env | (env or {}))
        self.addCleanup(self._close, process)
        server = Server(process, tls)
        if wait:
            server.wait_ready()
        return server

    def open_stream(self, server: Server, **fields: Any) -> socket.socket:
        """A completion that has been asked for, on a socket of its own."""
        body = json.dumps({"prompt": "Once", "stream": True, "temperature": 0, "ignore_eos": True} | fields)
        address = urlsplit(server.url)
        stream = socket.create_connection((address.hostname, address.port), timeout=START_S)
        self.addCleanup(stream.close)
        stream.sendall(
            f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        return stream

    @staticmethod
    def _close(process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
