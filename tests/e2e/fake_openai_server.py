# SPDX-License-Identifier: Apache-2.0
"""An OpenAI-compatible server that streams made-up words at set times, for tests of clients.

    python3 fake_openai_server.py [--port 8000] [--ttft-ms 50] [--itl-ms 10]

Tests start one in their own process with `serving(FakeServer(...))`; every request is kept in `server.requests`.
"""

import argparse
import contextlib
import http.server
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS = "the quick brown fox jumps over a lazy dog while seven wizards quietly mix potions and sing".split()
MODEL = "fake-model"


@dataclass(frozen=True)
class Behaviour:
    """How the server answers; times in seconds."""

    ttft_s: float = 0.0
    itl_s: float = 0.0
    catches_up: bool = True  # sleeps that are late do not add up; otherwise no pause is ever shorter
    api_key: str | None = None
    has_usage: bool = True
    has_metrics: bool = True
    slots: int | None = None  # requests answered at once; others wait, so that overload shows
    fail: Callable[[int], str | None] = lambda number: None  # "429", "500", "break", "error-event", "no-finish"
    answer: str | None = None  # of chats, instead of made-up words; a begun one is continued
    files: dict[str, Path] = field(default_factory=dict)  # path: file served with GET


@dataclass
class Seen:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    start_s: float
    is_cut: bool = False  # the client went away before the end


class FakeServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, behaviour: Behaviour, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.behaviour = behaviour
        self.requests: list[Seen] = []
        self.lock = threading.Lock()
        self.slots = threading.Semaphore(behaviour.slots or 1 << 20)
        self.running = 0
        self.waiting = 0
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.ttfts: list[float] = []
        self.itls: list[float] = []
        self.steps: list[float] = []  # tokens of each

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the tests."""


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[FakeServer]:
    server = FakeServer(behaviour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def num_prompt_tokens(body: dict[str, Any]) -> int:
    prompt = body.get("prompt", body.get("messages"))
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], int):
        return len(prompt)
    return len(json.dumps(prompt).split())


class Handler(http.server.BaseHTTPRequestHandler):
    server: FakeServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send_text(self, status: int, text: str, content_type: str = "application/json") -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send_json(self, status: int, value: Any) -> None:
        self.send_text(status, json.dumps(value))

    def send_failure(self, status: int, message: str) -> None:
        self.send_json(status, {"error": {"message": message, "type": "invalid_request_error", "code": status}})

    def is_allowed(self) -> bool:
        key = self.server.behaviour.api_key
        if key is None or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        self.send_failure(401, "invalid api key")
        return False

    def do_GET(self) -> None:
        file = self.server.behaviour.files.get(self.path)
        if file is not None:
            self.send_text(200, file.read_text(), "text/html; charset=utf-8")
        elif self.path == "/metrics" and self.server.behaviour.has_metrics:
            self.send_text(200, metrics_text(self.server), "text/plain; version=0.0.4")
        elif not self.is_allowed():
            pass
        elif self.path == "/v1/models":
            self.send_json(
                200,
                {
                    "object": "list",
                    "data": [{"id": MODEL, "object": "model", "owned_by": "test"}],
                },
            )
        else:
            self.send_failure(404, f"no path {self.path}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if not self.is_allowed():
            return
        seen = Seen(self.path, dict(self.headers.items()), body, time.monotonic())
        server = self.server
        with server.lock:
            number = len(server.requests)
            server.requests.append(seen)
            server.waiting += 1
        failure = server.behaviour.fail(number)
        with server.slots:
            with server.lock:
                server.waiting -= 1
                server.running += 1
            try:
                if failure is not None and failure.isdigit():
                    self.send_failure(int(failure), f"made-up failure {failure}")
                elif body.get("stream"):
                    self.stream(body, failure, seen)
                else:
                    self.send_failure(400, "this server only streams")
            except OSError:
                seen.is_cut = True
                self.close_connection = True
            finally:
                with server.lock:
                    server.running -= 1

    def stream(self, body: dict[str, Any], failure: str | None, seen: Seen) -> None:
        behaviour = self.server.behaviour
        is_chat = self.path.endswith("/chat/completions")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if is_chat:
            self.send_event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        num_tokens = int(body.get("max_tokens", 512))
        pieces = [WORDS[i % len(WORDS)] + " " for i in range(num_tokens)]
        if behaviour.answer is not None:
            begun = body["messages"][-1]["content"] if body.get("continue_final_message") else ""
            rest = behaviour.answer.removeprefix(begun)
            pieces = re.findall(r"\s*\S+", rest)[:num_tokens]

        due = time.monotonic() + behaviour.ttft_s
        for i, piece in enumerate(pieces):
            time.sleep(max(0.0, due - time.monotonic()))
            if i == len(pieces) // 2 and failure == "break":
                self.close_connection = True
                return
            if i == len(pieces) // 2 and failure == "error-event":
                self.send_event({"error": {"message": "made-up failure in the stream"}})
                break
            choice = {"delta": {"content": piece}} if is_chat else {"text": piece}
            self.send_event({"choices": [{"index": 0, **choice, "finish_reason": None}]})
            due = behaviour.itl_s + (due if behaviour.catches_up else time.monotonic())
            with self.server.lock:
                self.server.generation_tokens += 1
                self.server.itls.append(behaviour.itl_s)
                self.server.steps.append(float(self.server.running))
                if i == 0:
                    self.server.prompt_tokens += num_prompt_tokens(body)
                    self.server.ttfts.append(time.monotonic() - seen.start_s)
        if failure is None:
            reason = "length" if len(pieces) == num_tokens else "stop"
            choice = {"delta": {}} if is_chat else {"text": ""}
            self.send_event({"choices": [{"index": 0, **choice, "finish_reason": reason}]})
            if behaviour.has_usage and body.get("stream_options", {}).get("include_usage"):
                prompt = num_prompt_tokens(body)
                usage = {"prompt_tokens": prompt, "completion_tokens": len(pieces)}
                self.send_event({"choices": [], "usage": {**usage, "total_tokens": prompt + len(pieces)}})
        if failure != "no-finish":
            self.send_chunk("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def send_event(self, event: dict[str, Any]) -> None:
        self.send_chunk(f"data: {json.dumps({'id': 'x', 'model': MODEL, **event})}\n\n")

    def send_chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def histogram(name: str, values: list[float], bounds: list[float]) -> list[str]:
    label = f'model_name="{MODEL}"'
    lines = [f"# TYPE {name} histogram"]
    lines += [f'{name}_bucket{{{label},le="{b}"}} {sum(v <= b for v in values)}' for b in bounds]
    lines.append(f'{name}_bucket{{{label},le="+Inf"}} {len(values)}')
    lines += [f"{name}_sum{{{label}}} {sum(values)}", f"{name}_count{{{label}}} {len(values)}"]
    return lines


def metrics_text(server: FakeServer) -> str:
    """Prometheus text with the names of vLLM behind another prefix."""
    with server.lock:
        gauges = {"num_requests_running": server.running, "num_requests_waiting": server.waiting}
        gauges["kv_cache_usage_perc"] = min(1.0, 0.08 * server.running)
        counters = {"prompt_tokens_total": server.prompt_tokens, "generation_tokens_total": server.generation_tokens}
        ttfts = list(server.ttfts)
        itls, steps = list(server.itls), list(server.steps)
    lines = []
    for name, value in gauges.items():
        lines += [f"# TYPE test:{name} gauge", f'test:{name}{{model_name="{MODEL}"}} {value}']
    for name, value in counters.items():
        lines += [f"# TYPE test:{name} counter", f'test:{name}{{model_name="{MODEL}"}} {value}']
    bounds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]
    lines += histogram("test:time_to_first_token_seconds", ttfts, bounds)
    lines += histogram("test:inter_token_latency_seconds", itls, bounds)
    lines += histogram("test:iteration_tokens_total", steps, [1, 8, 16])
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="A server that streams made-up words.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--ttft-ms", type=float, default=50)
    parser.add_argument("--itl-ms", type=float, default=10)
    parser.add_argument("--page", type=Path, help="HTML file to serve at /")
    arguments = parser.parse_args()
    files = {"/": arguments.page} if arguments.page else {}
    behaviour = Behaviour(arguments.ttft_ms / 1e3, arguments.itl_ms / 1e3, files=files)
    server = FakeServer(behaviour, arguments.port)
    print(f"serving at {server.url}")
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
