# SPDX-License-Identifier: Apache-2.0
"""A thousand streams at once: each gets exactly what it gets alone, and nothing stays behind."""

import asyncio
import time
import unittest

from connection import Answer, Connection, encode
from loaded_server import MAX_GROWTH_MB, LoadedServer, greedy, raise_open_files, size

NUM_STREAMS = size("VELOZ_LOAD_STREAMS", 100)
NUM_DISTINCT = 24
MIN_TOKENS = 48  # many more steps than it takes until all have begun
KV_BYTES = NUM_STREAMS * 16 * 16 * 2048  # 16 blocks each


def request(idx: int, min_tokens: int = MIN_TOKENS) -> dict:
    distinct = idx % NUM_DISTINCT
    return greedy(distinct, min_tokens + distinct)


class Streams(unittest.TestCase):
    def setUp(self) -> None:
        raise_open_files(2 * NUM_STREAMS + 100)
        # All may run at once, and their prompts are not held back. The prefix cache is on: what it holds must count as free.
        self.server = LoadedServer(
            *("--max-connections", str(NUM_STREAMS + 16), "--max-num-seqs", str(NUM_STREAMS)),
            *("--max-num-batched-tokens", str(8 * NUM_STREAMS), "--target-step-ms", "0"),
            *("--kv-cache-memory-bytes", str(KV_BYTES), "--disable-access-log"),
        )
        self.addCleanup(self.server.stop)
        self.num_open = self.max_open = 0

    async def alone(self) -> list[Answer]:
        connection = await Connection.open(self.server.port)
        answers = [await connection.generate("/v1/completions", request(idx)) for idx in range(NUM_DISTINCT)]
        connection.close()
        return answers

    async def read_stream(self, connection: Connection) -> Answer:
        """Open is what has sent its first event and not its last."""
        status, headers = await connection.read_head()
        body = await connection.read_chunk()
        self.num_open += 1
        self.max_open = max(self.max_open, self.num_open)
        body += await connection.read_body(headers)
        self.num_open -= 1
        return connection.answer_of(status, headers, body)

    async def together(self, min_tokens: int = MIN_TOKENS) -> list[Answer]:
        """All are sent before any is read."""
        connections = [await Connection.open(self.server.port) for _ in range(NUM_STREAMS)]
        for idx, connection in enumerate(connections):
            connection.writer.write(encode("/v1/completions", request(idx, min_tokens)))
        answers = await asyncio.gather(*(self.read_stream(connection) for connection in connections))
        for connection in connections:
            connection.close()
        return answers

    def test_each_is_as_alone_and_all_is_given_back(self) -> None:
        num_fds = self.server.num_idle_fds()
        expected = asyncio.run(self.alone())
        asyncio.run(self.together(min_tokens=1))  # as many connections at once, for the allocator's arenas
        before = self.server.wait_until_settled(num_fds)
        rss = self.server.rss_mb()
        self.max_open = 0
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
        growth = self.server.rss_mb() - rss
        print(
            f"{NUM_STREAMS} streams, {num_tokens} tokens: {seconds:.1f} s, {self.max_open} open at once, "
            f"RSS {rss:.1f} MB {growth:+.1f}, {num_fds} files"
        )
        self.assertEqual(self.max_open, NUM_STREAMS)
        self.assertLess(growth, MAX_GROWTH_MB)
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
