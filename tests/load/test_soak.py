# SPDX-License-Identifier: Apache-2.0
"""Thousands of requests of every kind: memory, files and blocks stay what they were, and the metrics add up."""

import asyncio
import json
import random
import time
import unittest
from collections import Counter

from connection import Answer, Connection, encode
from loaded_server import MAX_GROWTH_MB, SETTLE_TIMEOUT_S, LoadedServer, raise_open_files, size
from soak_requests import CANCELLED_MAX_TOKENS, SoakRequest, draw

NUM_REQUESTS = size("VELOZ_LOAD_REQUESTS", 400)
NUM_WARMUP = 100
SEED = size("VELOZ_LOAD_SEED", 1)
CONCURRENCY = 64
CACHE_BYTES = 16 * 1024**2  # of about 32 prompts


class Load:
    """A seeded stream of requests, worked off by clients that keep their connections."""

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.random = random.Random(seed)
        self.first: dict[str, Answer] = {}  # by request: every later answer must equal it
        self.kinds: Counter[str] = Counter()
        self.sums: Counter[str] = Counter()
        self.prompt_tokens: dict[str, int] = {}  # by prompt
        self.left: Counter[str] = Counter()  # prompts of the clients that went away

    async def run(self, num_requests: int) -> None:
        self.num_left = num_requests
        await asyncio.gather(*(self.client() for _ in range(CONCURRENCY)))

    async def client(self) -> None:
        connection = await Connection.open(self.port)
        while self.num_left > 0:
            self.num_left -= 1
            request = draw(self.random)
            self.kinds[request.kind] += 1
            if request.num_events_read is None:
                self.check(request, await connection.generate(request.path, request.body))
            else:
                await self.go_away(connection, request)
                connection = await Connection.open(self.port)
        connection.close()

    async def go_away(self, connection: Connection, request: SoakRequest) -> None:
        self.left[request.body["prompt"]] += 1
        connection.writer.write(encode(request.path, request.body))
        status, _ = await connection.read_head()
        if status != 200:
            raise AssertionError(f"status {status} for {request}")
        for _ in range(request.num_events_read):
            await connection.read_chunk()
        connection.close()

    def check(self, request: SoakRequest, answer: Answer) -> None:
        same = {key: value for key, value in request.body.items() if not key.startswith("stream")}
        first = self.first.setdefault(json.dumps(same), answer)
        if answer != first:
            raise AssertionError(f"{request}\ngave {answer}\nonce {first}")
        num_tokens = sum(len(choice.token_ids) for choice in answer.choices.values())
        if num_tokens != answer.usage["completion_tokens"] or len(answer.choices) != request.body.get("n", 1):
            raise AssertionError(f"{request}\ngave {answer}")
        self.sums["prompt_tokens"] += answer.usage["prompt_tokens"]
        self.sums["completion_tokens"] += num_tokens
        if "prompt" in request.body:
            self.prompt_tokens[request.body["prompt"]] = answer.usage["prompt_tokens"]


def ends(metrics: dict[str, float]) -> dict[str, float]:
    """By reason."""
    return {key.split(".")[1]: value for key, value in metrics.items() if key.startswith("request_success_total.")}


def describe_rss(start: float, warm: float, growth: float) -> str:
    return f"RSS {start:.1f} MB, {warm:.1f} after {NUM_WARMUP} requests, then {growth:+.1f}"


class Soak(unittest.TestCase):
    def setUp(self) -> None:
        raise_open_files(1024)
        self.server = LoadedServer("--no-enable-prefix-caching", "--disable-access-log")
        self.addCleanup(self.server.stop)
        self.load = Load(self.server.port, SEED)

    def wait_until_counted(self) -> dict[str, float]:
        """The metrics, once each request is among those that ended."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        metrics = self.server.metrics()
        while sum(ends(metrics).values()) < self.load.kinds.total() and time.monotonic() < deadline:
            time.sleep(0.1)
            metrics = self.server.metrics()
        return metrics

    def check_metrics(self, metrics: dict[str, float]) -> None:
        num_cancelled = self.load.kinds["cancelled"]
        total = self.load.kinds.total()
        ended = ends(metrics)
        self.assertEqual(sum(ended.values()), total, ended)
        self.assertEqual(ended["error"], 0)
        # One whose client went away may have come to its end before that was heard of.
        self.assertGreaterEqual(ended["stop"] + ended["length"], total - num_cancelled)
        self.assertGreater(ended["abort"], 0.9 * num_cancelled, ended)
        self.assertEqual(metrics["e2e_request_latency_seconds_count"], total)
        # Of those that went away only the server knows how many tokens they were given.
        sums = self.load.sums
        num_unread = metrics["generation_tokens_total"] - sums["completion_tokens"]
        self.assertGreaterEqual(num_unread, 0)
        self.assertLess(num_unread, CANCELLED_MAX_TOKENS * num_cancelled)
        num_left = sum(self.load.prompt_tokens[prompt] * count for prompt, count in self.load.left.items())
        self.assertEqual(metrics["prompt_tokens_total"], sums["prompt_tokens"] + num_left)

    def test_nothing_is_left_behind(self) -> None:
        num_fds = self.server.num_idle_fds()
        start_rss = self.server.rss_mb()
        asyncio.run(self.load.run(NUM_WARMUP))
        self.server.wait_until_settled(num_fds)
        rss = self.server.rss_mb()
        start = time.monotonic()
        asyncio.run(self.load.run(NUM_REQUESTS))
        seconds = time.monotonic() - start
        self.server.wait_until_settled(num_fds)
        growth = self.server.rss_mb() - rss
        print(
            f"seed {SEED}: {NUM_REQUESTS} requests in {seconds:.1f} s, {dict(self.load.kinds)}, "
            f"{describe_rss(start_rss, rss, growth)}, {num_fds} files"
        )
        self.check_metrics(self.wait_until_counted())
        self.assertLess(growth, MAX_GROWTH_MB)
        self.assertEqual(self.server.stop(), 0)


class FullPrefixCache(unittest.TestCase):
    """Prompts without end, each begun like some before it, in a cache that has room for few."""

    def setUp(self) -> None:
        raise_open_files(1024)
        self.server = LoadedServer("--kv-cache-memory-bytes", str(CACHE_BYTES), "--disable-access-log")
        self.addCleanup(self.server.stop)
        self.random = random.Random(SEED)
        self.beginnings = [[self.random.randrange(100, 1000) for _ in range(128)] for _ in range(8)]

    def prompt(self) -> list[int]:
        return [*self.random.choice(self.beginnings), *(self.random.randrange(100, 1000) for _ in range(128))]

    async def client(self) -> None:
        connection = await Connection.open(self.server.port)
        while self.num_left > 0:
            self.num_left -= 1
            body = {"prompt": self.prompt(), "max_tokens": 2, "ignore_eos": True, "return_token_ids": True}
            answer = await connection.generate("/v1/completions", body)
            self.num_cached += answer.usage["prompt_tokens_details"]["cached_tokens"]
        connection.close()

    async def run_requests(self, num_requests: int) -> None:
        self.num_left = num_requests
        self.num_cached = 0
        await asyncio.gather(*(self.client() for _ in range(CONCURRENCY)))

    def test_does_not_grow(self) -> None:
        num_fds = self.server.num_idle_fds()
        start_rss = self.server.rss_mb()
        asyncio.run(self.run_requests(NUM_WARMUP))
        self.server.wait_until_settled(num_fds)
        rss = self.server.rss_mb()
        asyncio.run(self.run_requests(NUM_REQUESTS))
        metrics = self.server.wait_until_settled(num_fds)
        growth = self.server.rss_mb() - rss
        print(f"{NUM_REQUESTS} requests, {self.num_cached} tokens cached, {describe_rss(start_rss, rss, growth)}")
        self.assertGreater(self.num_cached, 0)
        self.assertLess(growth, MAX_GROWTH_MB)
        self.assertEqual(metrics["request_success_total.length"], NUM_WARMUP + NUM_REQUESTS)
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
