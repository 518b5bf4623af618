# SPDX-License-Identifier: Apache-2.0
"""Flags of `veloz serve` that change what clients meet: HTTPS, origins, limits, sampling defaults."""

import json
import shutil
import signal
import ssl
import subprocess
import unittest
from pathlib import Path
from typing import Any

from veloz_cli import MODELS
from veloz_server import Server, ServeTest

LLAMA = MODELS / "tiny-llama"
PAGE = "https://page.example"


class HttpsTest(ServeTest):
    def write_certificate(self) -> ssl.SSLContext:
        """A new pair of key.pem and cert.pem; gives a client that trusts it alone."""
        names = {"-keyout": self.dir / "key.pem", "-out": self.dir / "cert.pem"}
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            + [str(part) for pair in names.items() for part in pair]
            + subject,
            check=True,
            capture_output=True,
        )
        return ssl.create_default_context(cafile=str(self.dir / "cert.pem"))

    def flags(self) -> list[str]:
        return ["--ssl-certfile", str(self.dir / "cert.pem"), "--ssl-keyfile", str(self.dir / "key.pem")]

    def test_answers_over_tls_and_takes_a_renewed_certificate_on_sighup(self) -> None:
        first = self.write_certificate()
        server = self.serve(LLAMA, *self.flags(), tls=first)
        self.assertTrue(server.url.startswith("https://"))
        status, answer = server.complete()
        self.assertEqual((status, answer["usage"]["completion_tokens"]), (200, 4))

        second = self.write_certificate()
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("reloaded")
        with self.assertRaises(ssl.SSLCertVerificationError):
            server.complete()
        server.tls = second
        self.assertEqual(server.complete()[1]["choices"], answer["choices"])

        (self.dir / "cert.pem").write_text("no certificate")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("cert.pem")
        self.assertEqual(server.complete()[0], 200, "a bad certificate leaves the old one in place")
        self.assertEqual(server.stop(), 0)

    def test_plain_http_is_not_answered(self) -> None:
        trusted = self.write_certificate()
        server = self.serve(LLAMA, *self.flags(), tls=trusted)
        server.tls = None
        with self.assertRaises(OSError):
            server.status("/health")
        server.tls = trusted
        self.assertEqual(server.status("/health"), 200)

    def test_a_bad_pair_ends_the_server_before_it_listens(self) -> None:
        def refuse(key: str) -> None:
            flags = ["--ssl-certfile", self.dir / "cert.pem", "--ssl-keyfile", self.dir / key]
            self.fail_with(2, [key], "serve", LLAMA, "--port", "0", *flags)

        self.write_certificate()
        refuse("missing.pem")
        shutil.copy(self.dir / "key.pem", self.dir / "old.pem")
        self.write_certificate()
        refuse("old.pem")


class OriginsTest(ServeTest):
    def test_pages_of_allowed_origins_may_use_the_server(self) -> None:
        server = self.serve(LLAMA, "--allowed-origins", PAGE)
        ask = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        status, headers, _ = server.request("OPTIONS", "/v1/completions", headers=ask)
        self.assertEqual((status, headers["access-control-allow-origin"]), (204, PAGE))
        self.assertIn("POST", headers["access-control-allow-methods"])
        _, headers, _ = server.request("GET", "/v1/models", headers={"Origin": PAGE})
        self.assertEqual(headers["access-control-allow-origin"], PAGE)
        _, headers, _ = server.request("GET", "/v1/models", headers={"Origin": "https://other.example"})
        self.assertNotIn("access-control-allow-origin", headers)


class LimitsTest(ServeTest):
    def test_requests_of_a_key_per_minute(self) -> None:
        server = self.serve(LLAMA, "--api-key", "k", "--api-key-rpm", "2")
        key = {"Authorization": "Bearer k"}
        self.assertEqual([server.complete(key)[0] for _ in range(3)], [200, 200, 429])
        status, headers, _ = server.request("GET", "/v1/models", headers=key)
        self.assertEqual(status, 429)
        self.assertGreaterEqual(int(headers["retry-after"]), 1)
        self.assertEqual(server.status("/health"), 200)

    def test_headers_and_idle_connections(self) -> None:
        server = self.serve(LLAMA, "--max-header-bytes", "512", "--keep-alive-timeout", "3", "--io-threads", "2")
        self.assertEqual(server.status("/health", {"X-Long": "x" * 400}), 200)
        self.assertEqual(server.status("/health", {"X-Long": "x" * 600}), 431)
        idle = server.connect()
        idle.request("HEAD", "/health")
        self.assertEqual(idle.getresponse().status, 200)
        assert idle.sock is not None
        self.assertEqual(idle.sock.recv(1), b"", "closed by the server")
        idle.close()

    def test_what_the_queue_has_no_room_for_is_told_when_to_come_back(self) -> None:
        for flag, limit in (("--max-queued-requests", "2"), ("--max-queued-tokens", "6")):
            server = self.serve(LLAMA, "--max-num-seqs", "1", flag, limit)
            first = self.open_stream(server, max_tokens=900)
            while b"data:" not in (piece := first.recv(4096)):  # runs, so the queue is empty
                self.assertTrue(piece, "it ended before its first token")
            streams = [self.open_stream(server, max_tokens=4) for _ in range(20)]
            heads = [stream.recv(4096).partition(b"\r\n\r\n")[0].lower() for stream in streams]
            served = [head for head in heads if head.startswith(b"http/1.1 200 ")]
            refused = [head for head in heads if head.startswith(b"http/1.1 429 ")]
            self.assertEqual(len(served) + len(refused), len(heads), flag)
            self.assertGreater(len(served), 0, flag)
            self.assertGreater(len(refused), 0, flag)
            for head in refused:
                self.assertRegex(head, rb"\r\nretry-after: [1-9][0-9]*(\r\n|$)")

    def test_prompts_are_cut_and_shared_as_asked(self) -> None:
        prompt = " ".join(["Tomas lives in Berlin."] * 40)

        def cached_tokens(server: Server) -> int:
            answers = [server.complete(prompt=prompt)[1] for _ in range(2)]
            self.assertEqual(answers[0]["choices"], answers[1]["choices"])
            return answers[1]["usage"]["prompt_tokens_details"]["cached_tokens"]

        def most_prefill_tokens(server: Server) -> int:
            events = json.loads(server.request("GET", "/debug/trace")[2])["traceEvents"]
            return max(event["args"]["num_prefill_tokens"] for event in events if event["ph"] == "X")

        default = self.serve(LLAMA)
        self.assertGreater(cached_tokens(default), 64)
        self.assertGreater(most_prefill_tokens(default), 128)
        cut = self.serve(LLAMA, "--no-enable-prefix-caching", "--max-prefill-chunk", "32")
        self.assertEqual(cached_tokens(cut), 0)
        self.assertEqual(most_prefill_tokens(cut), 32)
        quick = self.serve(LLAMA, "--target-step-ms", "0.001")
        self.assertEqual(quick.complete(prompt=prompt)[0], 200)
        self.assertEqual(most_prefill_tokens(quick), 16, "no step stands still")


class GenerationConfigTest(ServeTest):
    def model_with(self, config: dict[str, Any]) -> Path:
        model = self.dir / "model"
        shutil.copytree(LLAMA, model)
        path = model / "generation_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
        return model

    def sampled(self, server: Server, **fields: Any) -> set[str]:
        """Texts of a few seeds, by the server's own temperature."""
        body = {"prompt": "Tomas lives in", "ignore_eos": True} | fields
        answers = [server.request("POST", "/v1/completions", body | {"seed": seed})[2] for seed in range(4)]
        return {json.loads(answer)["choices"][0]["text"] for answer in answers}

    def chat_tokens(self, server: Server, **fields: Any) -> int:
        body = {"messages": [{"role": "user", "content": "Where?"}], "ignore_eos": True} | fields
        return json.loads(server.request("POST", "/v1/chat/completions", body)[2])["usage"]["completion_tokens"]

    def test_the_models_own_defaults_hold_unless_they_are_left_aside(self) -> None:
        model = self.model_with({"do_sample": False, "max_new_tokens": 7})
        own = self.serve(model)
        self.assertEqual(len(self.sampled(own)), 1, "do_sample: false is greedy")
        self.assertGreater(len(self.sampled(own, temperature=1.5)), 1, "a request has the last word")
        self.assertEqual([self.chat_tokens(own), self.chat_tokens(own, max_completion_tokens=9)], [7, 9])
        self.assertEqual(own.stop(), 0)
        taken = next(line for line in own.log if "defaults of generation_config.json" in line)
        self.assertRegex(taken, r"temperature=0\S* max_new_tokens=7$")

        neutral = self.serve(model, "--generation-config", "vllm")
        self.assertGreater(len(self.sampled(neutral)), 1)
        self.assertGreater(self.chat_tokens(neutral), 500, "as far as the model goes")
        self.assertEqual(neutral.stop(), 0)
        self.assertNotIn("generation_config", "\n".join(neutral.log))

    def test_another_folder_may_have_the_defaults(self) -> None:
        other = self.dir / "other"
        other.mkdir()
        self.fail_with(2, ["--generation-config", f'no "{other}/generation_config.json"'], *self.other_defaults(other))
        (other / "generation_config.json").write_text('{"top_p": 7}')
        self.fail_with(2, [str(other), '"top_p" is 7'], *self.other_defaults(other))
        (other / "generation_config.json").write_text('{"do_sample": false}')
        server = self.serve(LLAMA, "--generation-config", str(other))
        self.assertEqual(len(self.sampled(server)), 1)
        self.assertGreater(self.chat_tokens(server), 500, "the model's own max_new_tokens does not hold")

    def other_defaults(self, folder: Path) -> list[str]:
        return ["serve", str(LLAMA), "--port", "0", "--generation-config", str(folder)]

    def test_what_narrows_sampling_is_taken_over(self) -> None:
        narrow = self.serve(self.model_with({"do_sample": True, "temperature": 1.5, "top_k": 1}))
        self.assertEqual(len(self.sampled(narrow)), 1)
        self.assertGreater(len(self.sampled(narrow, top_k=0)), 1)


if __name__ == "__main__":
    unittest.main()
