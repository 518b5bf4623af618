# SPDX-License-Identifier: Apache-2.0
"""A thousand streams at once: each gets exactly what it gets alone, and nothing stays behind."""

import asyncio
import time
import unittest

from connection import Answer, Connection, encode
from loaded_server import LoadedServer, greedy, raise_open_files, size

NUM_STREAMS = size("VELOZ_LOAD_STREAMS", 100)
NUM_DISTINCT = 24
MIN_TOKENS = 24


def request(idx: int) -> dict:
    distinct = idx % NUM_DISTINCT
    return greedy(distinct, MIN_TOKENS + distinct)


class Streams(unittest.TestCase):
    def setUp(self) -> None:
        raise_open_files(2 * NUM_STREAMS + 100)
        # With the prefix cache on: what it holds must count as free.
        self.server = LoadedServer("--max-connections", str(NUM_STREAMS + 16), "--disable-access-log")
        self.addCleanup(self.server.stop)

    async def alone(self) -> list[Answer]:
        connection = await Connection.open(self.server.port)
        answers = [await connection.generate("/v1/completions", request(idx)) for idx in range(NUM_DISTINCT)]
        connection.close()
        return answers

    async def together(self) -> list[Answer]:
        """All are sent before any is read; the peak of what the server holds is noted on the way."""
        connections = [await Connection.open(self.server.port) for _ in range(NUM_STREAMS)]
        for idx, connection in enumerate(connections):
            connection.writer.write(encode("/v1/completions", request(idx)))
        answers = asyncio.gather(*(connection.read_answer() for connection in connections))
        while not answers.done():
            now = await asyncio.to_thread(self.server.metrics)
            self.peak = max(self.peak, int(now["num_requests_running"] + now["num_requests_waiting"]))
            await asyncio.wait([answers], timeout=0.2)
        for connection in connections:
            connection.close()
        return answers.result()

    def test_each_is_as_alone_and_all_is_given_back(self) -> None:
        num_fds = self.server.num_idle_fds()
        expected = asyncio.run(self.alone())
        before = self.server.wait_until_settled(num_fds)
        self.peak = 0
        start = time.monotonic()
        answers = asyncio.run(self.together())
        seconds = time.monotonic() - start
        self.assertEqual(len(answers), NUM_STREAMS)
        num_tokens = 0
        for idx, answer in enumerate(answers):
            alone = expected[idx % NUM_DISTINCT]
            self.assertEqual(answer.choices, alone.choices, idx)
            num_generated = MIN_TOKENS + idx % NUM_DISTINCT
            num_tokens += num_generated
            self.assertEqual(len(answer.choices[0].token_ids), num_generated)
            for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
                self.assertEqual(answer.usage[name], alone.usage[name])
            self.assertEqual(answer.usage["completion_tokens"], num_generated)
        after = self.server.wait_until_settled(num_fds)
        self.assertEqual(after["request_success_total.length"] - before["request_success_total.length"], NUM_STREAMS)
        self.assertEqual(after["generation_tokens_total"] - before["generation_tokens_total"], num_tokens)
        if NUM_STREAMS >= 1000:  # fewer may be answered before anybody looks
            self.assertGreater(self.peak, NUM_STREAMS // 2, "they were not at once")
        print(
            f"{NUM_STREAMS} streams, {num_tokens} tokens: {seconds:.1f} s, at most {self.peak} at once, {num_fds} files"
        )
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
