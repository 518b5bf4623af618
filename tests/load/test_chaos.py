# SPDX-License-Identifier: Apache-2.0
"""Good streams stay bit-identical and the server ready, whatever other clients do; and it ends cleanly."""

import asyncio
import random
import signal
import time
import unittest
from collections import Counter

from chaos_clients import FLAGS, Rude, ask_for_megabytes, behave_badly
from connection import Answer, Connection, encode
from loaded_server import LoadedServer, greedy, raise_open_files, size

NUM_STREAMS = 50
NUM_DISTINCT = 16
NUM_BAD = 32
SECONDS = size("VELOZ_LOAD_CHAOS_S", 6)
SEED = size("VELOZ_LOAD_SEED", 1)


def request(idx: int) -> dict:
    return greedy(idx % NUM_DISTINCT, 24 + idx % NUM_DISTINCT)


class Chaos(unittest.TestCase):
    def setUp(self) -> None:
        raise_open_files(1024)
        self.server = LoadedServer("--disable-access-log", *FLAGS)
        self.addCleanup(self.server.stop)
        self.num_checked = 0
        self.bad: Counter[str] = Counter()

    async def run_alone(self) -> None:
        connection = await Connection.open(self.server.port)
        self.alone = [await connection.generate("/v1/completions", request(idx)) for idx in range(NUM_DISTINCT)]
        connection.close()

    def check(self, idx: int, answer: Answer) -> None:
        self.assertEqual(answer.choices, self.alone[idx % NUM_DISTINCT].choices, idx)
        self.assertEqual(len(answer.choices[0].token_ids), request(idx)["max_tokens"])
        self.num_checked += 1

    async def stream_again_and_again(self, idx: int) -> None:
        connection = await Connection.open(self.server.port)
        while time.monotonic() < self.end:
            self.check(idx, await connection.generate("/v1/completions", request(idx)))
        connection.close()

    async def behave_badly_again_and_again(self, idx: int) -> None:
        random_source = random.Random(SEED * 1000 + idx)
        while time.monotonic() < self.end:
            self.bad[await behave_badly(self.server.port, random_source)] += 1

    async def watch(self) -> None:
        while time.monotonic() < self.end:
            for path in ("/livez", "/readyz"):
                status, _, body = await asyncio.to_thread(self.server.request, "GET", path)
                self.assertEqual(status, 200, (path, body))
            await asyncio.sleep(0.2)

    async def run_chaos(self) -> None:
        self.end = time.monotonic() + SECONDS
        await asyncio.gather(
            self.watch(),
            *(self.stream_again_and_again(idx) for idx in range(NUM_STREAMS)),
            *(self.behave_badly_again_and_again(idx) for idx in range(NUM_BAD)),
        )

    async def terminate_while_streaming(self) -> None:
        """What has begun when the signal comes is finished as if it had not come."""
        connections = [await Connection.open(self.server.port) for _ in range(NUM_STREAMS)]
        for idx, connection in enumerate(connections):
            connection.writer.write(encode("/v1/completions", request(idx)))
        await asyncio.to_thread(self.wait_until_running)
        self.server.process.send_signal(signal.SIGTERM)
        for idx, connection in enumerate(connections):
            self.check(idx, await connection.read_answer())
            connection.close()

    def wait_until_running(self) -> None:
        while self.server.metrics()["num_requests_running"] < NUM_STREAMS:
            time.sleep(0.01)

    def test_good_streams_are_as_alone(self) -> None:
        num_fds = self.server.num_idle_fds()
        asyncio.run(self.run_alone())
        rss = self.server.rss_mib()
        asyncio.run(self.run_chaos())
        self.server.wait_until_settled(num_fds)
        growth = self.server.rss_mib() - rss
        print(
            f"seed {SEED}: {SECONDS} s, {self.num_checked} good streams, {self.bad.total()} bad clients "
            f"{dict(self.bad)}, RSS {rss:.1f} MiB {growth:+.1f}, {num_fds} files"
        )
        asyncio.run(self.terminate_while_streaming())
        self.assertEqual(self.server.process.wait(30), 0)
        log = self.server.log.read_text(errors="replace")
        self.assertNotRegex(log, r"Z error |Sanitizer|terminate called")

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
