# SPDX-License-Identifier: Apache-2.0
"""What operators need, through the official client too: probes, HTTPS, time limits, failures, queues."""

import json
import shutil
import ssl
import struct
import subprocess
import tempfile
import time
import unittest
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
from served import QUESTION, ClientTest, client_of, request_that_fills, shared_server, start_server
from server import MODELS
from test_errors import ErrorTest


class Operations(ClientTest):
    def get(self, path: str) -> Any:
        return self.client.get(f"{self.server.base_url}{path}", cast_to=object)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.client.post(f"{self.server.base_url}{path}", body=body, cast_to=object)

    def test_probes_say_that_all_is_well(self) -> None:
        for path in ("/health", "/livez", "/readyz"):
            self.assertEqual(self.get(path), {"status": "ok"}, path)
        self.assertRegex(self.get("/version")["version"], r"^\d+\.\d+\.\d+")

    def test_metrics_grow_by_what_the_client_asked_for(self) -> None:
        def total(name: str) -> float:
            lines = self.client.get(f"{self.server.base_url}/metrics", cast_to=str).splitlines()
            return sum(float(line.split()[-1]) for line in lines if line.startswith(f"veloz:{name}_total{{"))

        before = total("prompt_tokens"), total("generation_tokens")
        usage = self.chat(n=2, max_tokens=5).usage
        self.assertEqual(total("prompt_tokens") - before[0], usage.prompt_tokens)
        self.assertEqual(total("generation_tokens") - before[1], usage.completion_tokens)

    def test_text_becomes_tokens_and_text_again(self) -> None:
        text = "Berlin, 7 o'clock"
        tokens = self.post("/tokenize", {"prompt": text, "add_special_tokens": False, "return_token_strs": True})
        self.assertEqual(tokens["count"], len(tokens["token_strs"]))
        self.assertEqual(self.post("/detokenize", {"tokens": tokens["tokens"]}), {"prompt": text})
        prompt = self.post("/tokenize", {"messages": QUESTION})["tokens"]
        self.assertEqual(len(prompt), self.chat(max_tokens=1).usage.prompt_tokens)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.post("/detokenize", {"tokens": [1 << 30]})
        self.assertEqual(caught.exception.param, "tokens[0]")


class SlowBodies(ErrorTest):
    flags = ("--body-timeout", "0.5")

    def test_a_body_that_takes_too_long_is_given_up(self) -> None:
        def parts() -> Iterator[bytes]:
            yield b'{"model": "tiny-llama", '
            time.sleep(2)

        with self.assertRaises(openai.APIStatusError) as caught:
            self.client.post("/completions", content=self.body_of(parts()), cast_to=object)
        self.check_error(caught.exception, 408, None)


class Failures(ErrorTest):
    """The input embedding of one token is NaN."""

    POISONED, SOUND = 5, 6

    @classmethod
    def setUpClass(cls) -> None:
        directory = Path(tempfile.mkdtemp(prefix="veloz-client-"))
        cls.addClassCleanup(shutil.rmtree, directory)
        model = directory / "model"
        shutil.copytree(MODELS / "tiny-gptj", model)
        content = bytearray((model / "model.safetensors").read_bytes())
        begin = 8 + int.from_bytes(content[:8], "little")
        embedding = json.loads(content[8:begin])["transformer.wte.weight"]
        row = begin + embedding["data_offsets"][0] + 2 * cls.POISONED * embedding["shape"][1]
        content[row : row + 2] = struct.pack("<H", 0x7FC0)
        (model / "model.safetensors").write_bytes(content)
        cls.server = start_server(model=str(model))
        cls.addClassCleanup(cls.server.stop)
        cls.client = cls.connect()

    def test_a_request_that_fails_in_its_step_is_the_servers_fault(self) -> None:
        sound = self.text([self.SOUND], model="model", max_tokens=2).choices[0].text
        for stream in (False, True):
            with self.assertRaises(openai.InternalServerError) as caught:
                self.text([self.POISONED], model="model", stream=stream, extra_headers={"x-request-id": "nan-1"})
            self.check_error(caught.exception, 500, None)
            self.assertIn("NaN", caught.exception.message)
            self.assertEqual(caught.exception.request_id, "nan-1")
        self.assertEqual(self.text([self.SOUND], model="model", max_tokens=2).choices[0].text, sound)


class Https(ClientTest):
    @classmethod
    def setUpClass(cls) -> None:
        directory = Path(tempfile.mkdtemp(prefix="veloz-client-"))
        cls.addClassCleanup(shutil.rmtree, directory)
        key, certificate = directory / "key.pem", directory / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            + ["-keyout", str(key), "-out", str(certificate), "-days", "2"]
            + ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True,
            capture_output=True,
        )
        trusted = ssl.create_default_context(cafile=str(certificate))
        cls.server = start_server("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key), tls=trusted)
        cls.addClassCleanup(cls.server.stop)
        cls.client = cls.connect(http_client=cls.http_client(verify=trusted))

    def test_answers_whom_trusts_its_certificate(self) -> None:
        whole = self.chat().choices[0].message.content
        self.assertIn("Berlin", whole)
        streamed = "".join(event.choices[0].delta.content or "" for event in self.chat(stream=True))
        self.assertEqual(streamed, whole)

    def test_is_not_trusted_by_others(self) -> None:
        with self.assertRaises(openai.APIConnectionError):
            self.connect().models.list()


class GenerationConfig(ClientTest):
    @classmethod
    def setUpClass(cls) -> None:
        directory = Path(tempfile.mkdtemp(prefix="veloz-client-"))
        cls.addClassCleanup(shutil.rmtree, directory)
        defaults = {"do_sample": True, "temperature": 2.0, "top_k": 1, "max_new_tokens": 3}
        (directory / "generation_config.json").write_text(json.dumps(defaults))
        cls.server = start_server("--generation-config", str(directory))
        cls.addClassCleanup(cls.server.stop)
        cls.client = cls.connect()

    def test_says_what_requests_get_that_say_nothing(self) -> None:
        greedy = self.chat(max_tokens=3).choices[0].message.content
        for seed in range(3):
            choice = self.chat(temperature=None, max_tokens=None, seed=seed).choices[0]
            self.assertEqual((choice.message.content, choice.finish_reason), (greedy, "length"))
        texts = {
            self.chat(temperature=None, max_tokens=8, seed=seed, extra_body={"top_k": 0}).choices[0].message.content
            for seed in range(4)
        }
        self.assertGreater(len(texts), 1)


class Retries(ErrorTest):
    flags = ("--api-key", "sesame", "--api-key-rpm", "60")

    def test_the_client_comes_back_when_it_is_told_to(self) -> None:
        client = self.connect(api_key="sesame", max_retries=2)
        # The next request is allowed a second after the one before; by itself the client waits for less.
        for _ in range(1000):
            raw = client.models.with_raw_response.list()
            if raw.retries_taken:
                break
        self.assertEqual(raw.retries_taken, 1)
        self.assertEqual(raw.parse().data[0].id, "tiny-llama")


class Priorities(unittest.TestCase):
    """As in test_async.py, with the synchronous client and a thread for each request."""

    NUM_SEQS = 32

    def setUp(self) -> None:
        self.server = shared_server("--max-num-seqs", str(self.NUM_SEQS), "--max-stream-buffer-bytes", str(1 << 28))
        self.client = client_of(self.server)
        self.addCleanup(self.client.close)

    def start(self, priority: int) -> Any:
        """A stream of which the first event has come."""
        stream = self.client.completions.create(**request_that_fills(self.NUM_SEQS, priority))
        next(iter(stream))
        return stream

    def wait_until_waiting(self, num_requests: int) -> None:
        deadline = time.monotonic() + 30
        while self.server.metric("num_requests_waiting") != num_requests:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)

    def test_the_urgent_one_of_two_that_wait_is_first(self) -> None:
        with ThreadPoolExecutor() as threads:
            first = self.start(priority=0)
            ordinary = threads.submit(self.start, priority=0)
            self.wait_until_waiting(1)
            urgent = threads.submit(self.start, priority=-1000000)
            self.wait_until_waiting(2)
            first.close()
            started = urgent.result()
            self.assertFalse(ordinary.done())
            started.close()
            ordinary.result().close()
