# SPDX-License-Identifier: Apache-2.0
"""The asynchronous client: many requests at once, and clients that go away."""

import asyncio
import time
import unittest
from typing import Any

import openai
from served import PASSAGE, QUESTION, async_client_of, client_of, shared_server

PROMPTS = [f"{PASSAGE * (1 + i % 3)}\n\nQuestion {i}: where does Tomas live?" for i in range(12)]


def options(index: int) -> dict[str, Any]:
    return {
        "model": "tiny-llama",
        "messages": [{"role": "user", "content": PROMPTS[index]}],
        "temperature": 0 if index % 2 else 1.2,
        "seed": index,
        "max_tokens": 8 + index,
    }


class AsyncClient(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.server = shared_server()

    async def asyncSetUp(self) -> None:
        asyncio.get_running_loop().set_debug(False)  # it warns of every slow answer

    async def streamed(self, client: openai.AsyncOpenAI, index: int) -> str:
        stream = await client.chat.completions.create(stream=True, **options(index))
        return "".join([event.choices[0].delta.content or "" async for event in stream])

    async def test_streams_at_once_give_what_each_gives_alone(self) -> None:
        alone = [
            client_of(self.server).chat.completions.create(**options(i)).choices[0].message.content
            for i in range(len(PROMPTS))
        ]
        async with async_client_of(self.server) as client:
            together = await asyncio.gather(*(self.streamed(client, i) for i in range(len(PROMPTS))))
        self.assertEqual(together, alone)

    async def test_tools_and_parse_work(self) -> None:
        async with async_client_of(self.server) as client:
            answer = await client.completions.create(
                model="tiny-llama", prompt="x", max_tokens=4, extra_body={"structured_outputs": {"choice": ["a", "b"]}}
            )
            self.assertIn(answer.choices[0].text, ["a", "b"])
            with self.assertRaises(openai.BadRequestError):
                await client.chat.completions.create(model="tiny-llama", messages=[])

    async def test_a_client_that_goes_away_cancels_its_request(self) -> None:
        num_choices, max_tokens = 16, 900  # long enough that none of them has ended by itself
        before = self.server.metric("generation_tokens_total")
        async with async_client_of(self.server) as client:
            stream = await client.chat.completions.create(
                model="tiny-llama",
                messages=QUESTION,
                stream=True,
                n=num_choices,
                max_tokens=max_tokens,
                extra_body={"ignore_eos": True},
            )
            async for event in stream:
                if event.choices[0].delta.content:
                    break
            await stream.close()
        deadline = time.monotonic() + 5
        while self.server.metric("num_requests_running") > 0:
            self.assertLess(time.monotonic(), deadline, "the request goes on without its client")
            await asyncio.sleep(0.02)
        num_generated = self.server.metric("generation_tokens_total") - before
        self.assertGreater(num_generated, 0)
        self.assertLess(num_generated, num_choices * max_tokens)
