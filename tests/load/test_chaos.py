# SPDX-License-Identifier: Apache-2.0
"""Good streams stay bit-identical and the server ready, whatever other clients do; and it ends cleanly."""

import asyncio
import random
import re
import signal
import time
import unittest
from collections import Counter
from collections.abc import Callable
from functools import partial

from chaos_clients import CLIENTS, FLAGS, Rude, ask_for_megabytes, behave_badly, send_entry
from connection import Answer, Connection, encode
from loaded_server import MAX_GROWTH_MB, LoadedServer, greedy, raise_open_files, size

from bad_requests import CORPUS  # isort: skip  (on the path since loaded_server)

NUM_STREAMS = 50
NUM_DISTINCT = 16
NUM_BAD = 32
SECONDS = size("VELOZ_LOAD_CHAOS_S", 6)
LONG_TOKENS = size("VELOZ_LOAD_LONG_TOKENS", 900)
SEED = size("VELOZ_LOAD_SEED", 1)
IS_SANITIZED = bool(size("VELOZ_LOAD_SANITIZED", 0))


def request(idx: int, min_tokens: int = 24) -> dict:
    return greedy(idx % NUM_DISTINCT, min_tokens + idx % NUM_DISTINCT)


def long_request(idx: int) -> dict:
    """Goes on for long after its first token has been read."""
    return request(idx, LONG_TOKENS)


class Chaos(unittest.TestCase):
    def setUp(self) -> None:
        raise_open_files(1024)
        self.start_server()
        self.num_checked = 0
        self.bad: Counter[str] = Counter()

    def start_server(self) -> None:
        # What streams when it is told to end may take long under a sanitizer.
        self.server = LoadedServer("--disable-access-log", "--shutdown-timeout", "600", *FLAGS)
        self.addCleanup(self.server.stop)

    async def answers_alone(self, make_request: Callable[[int], dict]) -> list[Answer]:
        connection = await Connection.open(self.server.port)
        answers = [await connection.generate("/v1/completions", make_request(idx)) for idx in range(NUM_DISTINCT)]
        connection.close()
        for idx, answer in enumerate(answers):
            self.assertEqual(len(answer.choices[0].token_ids), make_request(idx)["max_tokens"])
        return answers

    def check(self, idx: int, answer: Answer, alone: list[Answer]) -> None:
        self.assertEqual(answer.choices, alone[idx % NUM_DISTINCT].choices, idx)
        self.num_checked += 1

    async def stream_again_and_again(self, idx: int) -> None:
        connection = await Connection.open(self.server.port)
        while time.monotonic() < self.end:
            self.check(idx, await connection.generate("/v1/completions", request(idx)), self.alone)
        connection.close()

    async def behave_badly_again_and_again(self, idx: int) -> None:
        """First each its own kind, so that all are there."""
        random_source = random.Random(SEED * 1000 + idx)
        client = CLIENTS[idx % len(CLIENTS)]
        while time.monotonic() < self.end:
            await behave_badly(self.server.port, random_source, client)
            self.bad[client.__name__] += 1
            client = random_source.choice(CLIENTS)

    async def probe(self, path: str) -> None:
        """A step is slow where the machine stands still, and only then."""
        deadline = time.monotonic() + 10
        while True:
            status, _, body = await asyncio.to_thread(self.server.request, "GET", path)
            if status == 200:
                return
            self.assertEqual((path, status), ("/readyz", 503), body)
            self.assertIn(b"a step has taken", body)
            self.assertLess(time.monotonic(), deadline, body)
            await asyncio.sleep(0.2)

    async def send_every_bad_request(self) -> None:
        """Of the largest regex the allocator keeps 14 MB, once, which must not hide in what chaos may add."""
        for entry in CORPUS * 2:
            await behave_badly(self.server.port, random.Random(SEED), partial(send_entry, entry=entry))

    async def watch(self) -> None:
        while time.monotonic() < self.end:
            for path in ("/livez", "/readyz"):
                await self.probe(path)
            await asyncio.sleep(0.2)

    async def run_chaos(self) -> None:
        self.end = time.monotonic() + SECONDS
        await asyncio.gather(
            self.watch(),
            *(self.stream_again_and_again(idx) for idx in range(NUM_STREAMS)),
            *(self.behave_badly_again_and_again(idx) for idx in range(NUM_BAD)),
        )

    async def terminate_while_streaming(self, alone: list[Answer]) -> None:
        """What has begun when the signal comes is finished as if it had not come."""
        connections = [await Connection.open(self.server.port) for _ in range(NUM_STREAMS)]
        for idx, connection in enumerate(connections):
            connection.writer.write(encode("/v1/completions", long_request(idx)))
        heads = [await connection.read_head() for connection in connections]
        self.server.process.send_signal(signal.SIGTERM)
        rests = (connection.read_rest(*head) for connection, head in zip(connections, heads, strict=True))
        for idx, answer in enumerate(await asyncio.gather(*rests)):
            self.check(idx, answer, alone)
            connections[idx].close()

    def terminate(self, alone: list[Answer]) -> int:
        """How many streams had not ended when the signal came."""
        asyncio.run(self.terminate_while_streaming(alone))
        self.assertEqual(self.server.process.wait(30), 0)
        log = self.server.log.read_text(errors="replace")
        # Under a sanitizer every step is slow, which the server says.
        self.assertNotRegex(
            log, (r"Z error (?!slow step)" if IS_SANITIZED else r"Z error ") + "|Sanitizer|terminate called"
        )
        return int(re.search(r"shutting down .*\bopen_requests=(\d+)", log)[1])

    def test_good_streams_are_as_alone(self) -> None:
        num_fds = self.server.num_idle_fds()
        self.alone = asyncio.run(self.answers_alone(request))
        asyncio.run(self.send_every_bad_request())
        self.server.wait_until_settled(num_fds)
        rss = self.server.rss_mb()
        asyncio.run(self.run_chaos())
        self.server.wait_until_settled(num_fds)
        growth = self.server.rss_mb() - rss
        print(
            f"seed {SEED}: {SECONDS} s, {self.num_checked} good streams, {self.bad.total()} bad clients "
            f"{dict(self.bad)}, RSS {rss:.1f} MB {growth:+.1f}, {num_fds} files"
        )
        self.assertLess(growth, MAX_GROWTH_MB)
        self.assertEqual(set(self.bad), {client.__name__ for client in CLIENTS})
        alone = asyncio.run(self.answers_alone(long_request))
        num_open = self.terminate(alone)
        if num_open == 0:
            self.start_server()
            num_open = self.terminate(alone)
        self.assertGreater(num_open, 0, "all streams had ended before the signal, twice")

    async def ask_and_read_nothing(self) -> None:
        rude = Rude(random.Random(SEED), receive_bytes=1)
        await rude.connect(self.server.port)
        await ask_for_megabytes(rude)
        deadline = time.monotonic() + 60
        while (await asyncio.to_thread(self.server.metrics))["request_success_total.abort"] == 0:
            self.assertLess(time.monotonic(), deadline, "the request of a client that reads nothing goes on")
            await asyncio.sleep(0.1)
        rude.leave()

    def test_a_client_that_reads_nothing_is_cancelled_before_it_leaves(self) -> None:
        num_fds = self.server.num_idle_fds()
        asyncio.run(self.ask_and_read_nothing())
        self.server.wait_until_settled(num_fds)


if __name__ == "__main__":
    unittest.main()
