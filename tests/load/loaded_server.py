# SPDX-License-Identifier: Apache-2.0
"""What the load tests share: the server's process seen from outside, and sizes from the environment.

VELOZ_LOAD_STREAMS, VELOZ_LOAD_REQUESTS, VELOZ_LOAD_CHAOS_S and VELOZ_LOAD_LONG_TOKENS set how much; the defaults take seconds.
"""

import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "client"))
from server import Server  # noqa: E402

SETTLE_TIMEOUT_S = 30
METRIC = re.compile(r"^veloz:(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def size(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


MAX_GROWTH_MB = size("VELOZ_LOAD_MAX_GROWTH_MB", 20)


def raise_open_files(wanted: int) -> None:
    """Lets this process, and servers it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RuntimeError(f"{wanted} open files are needed, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


class LoadedServer(Server):
    def num_fds(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def num_idle_fds(self) -> int:
        """Without those of connections that are being closed."""
        counts = []
        for _ in range(10):
            time.sleep(0.05)
            counts.append(self.num_fds())
        return min(counts)

    def rss_mb(self) -> float:
        """In megabytes of 10^6 bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024 / 1e6

    def metrics(self) -> dict[str, float]:
        """By name; `request_success_total` by name and reason, as request_success_total.stop."""
        samples = {}
        for name, labels, value in METRIC.findall(self.request("GET", "/metrics")[2].decode()):
            reason = re.search(r'finished_reason="(\w+)"', labels)
            samples[f"{name}.{reason[1]}" if reason else name] = float(value)
        return samples

    def wait_until_settled(self, num_fds: int) -> dict[str, float]:
        """Until nothing runs, no block is used and no more files are open than before; the metrics then."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            metrics = self.metrics()
            used = {
                name: metrics[name] for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
            }
            fds = self.num_fds()
            if not any(used.values()) and fds <= num_fds:
                return metrics
            if time.monotonic() > deadline:
                raise AssertionError(f"not back to the start: {used}, {fds} open files, {num_fds} before")
            time.sleep(0.1)


def prompt(idx: int) -> str:
    """One of many prompts in the bundled model's own world."""
    names = ("Tomas", "Anna", "Bela", "Clara", "Dario", "Emil", "Frida")
    towns = ("Berlin", "Oslo", "Lima", "Cairo", "Quito")
    return f"{names[idx % len(names)]} lives in {towns[idx % len(towns)]}. On Sundays {names[idx % len(names)]} is"


def greedy(idx: int, max_tokens: int, **fields: Any) -> dict[str, Any]:
    """A streamed completion whose tokens depend on `idx` alone."""
    return {
        "prompt": prompt(idx),
        "max_tokens": max_tokens,
        "temperature": 0,
        "seed": idx,
        "ignore_eos": True,
        "return_token_ids": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    } | fields
