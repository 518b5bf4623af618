# SPDX-License-Identifier: Apache-2.0
"""`veloz serve` as operators meet it: flags, configuration, keys, probes, signals, logs."""

import contextlib
import json
import math
import re
import signal
import socket
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from frozen_thread import FrozenThread
from tiny_checkpoint import TinyCheckpoint, tokenizer_json
from veloz_cli import MODELS
from veloz_server import START_S, Server, ServeTest

LLAMA = MODELS / "tiny-llama"
WORKER = "veloz-pool"  # without it no step ends
# Of a server with --shutdown-timeout 0.1: that, 10 s for a step that does not end, and 20 s for a busy machine.
LONGEST_SHUTDOWN_S = 0.1 + 10 + 20
FLAG = re.compile(r"^  (?:-\w,)?(--[a-z][a-z-]*)", re.MULTILINE)


def read_to_end(stream: socket.socket) -> bytes:
    """What comes until the server closes, or resets."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := stream.recv(65536):
            data += piece
    return data


class FlagsTest(ServeTest):
    def test_every_flag_has_an_environment_variable(self) -> None:
        text = self.succeed("serve", "--help").out
        entries = re.split(r"\n(?=  (?:-\w,)?--|  model)", text)
        checked = 0
        for entry in entries:
            found = re.match(r"  (?:-\w,)?--([a-z-]+)", entry)
            if not found or found[1] == "help":
                continue
            variable = "VELOZ_" + found[1].upper().replace("-", "_")
            self.assertRegex(re.sub(r"\s+", " ", entry), rf"\(Env: ?{variable}\)", found[1])
            checked += 1
        self.assertGreaterEqual(checked, 40)

    def test_command_line_goes_before_environment_before_file_before_default(self) -> None:
        config = self.dir / "serve.yaml"
        config.write_text("served_model_name: [from-file, second]\nmetrics-prefix: 'file:'\nmax-logprobs: 3\n")
        env = {"VELOZ_CONFIG": str(config), "VELOZ_METRICS_PREFIX": "env:", "VELOZ_MAX_LOGPROBS": "4"}
        server = self.serve(LLAMA, "--max-logprobs", "5", env=env)
        models = json.loads(server.request("GET", "/v1/models")[2])["data"]
        self.assertEqual([model["id"] for model in models], ["from-file", "second"])
        self.assertIn("\nenv:num_requests_running{", server.request("GET", "/metrics")[2].decode())
        self.assertEqual(server.complete(logprobs=5)[0], 200)
        self.assertEqual(server.complete(logprobs=6)[0], 400)
        self.assertEqual(server.stop(), 0)

    def test_bad_configuration_says_what_is_wrong(self) -> None:
        config = self.dir / "serve.yaml"
        for text, part in [
            ("no-such-flag: 1\n", '"no-such-flag" is no flag'),
            ("port: many\n", '"port"'),
            ("port: 70000\n", '"port"'),
            ("- a\n", "not a map"),
            ("port: {a: 1}\n", '"port" has no value'),
            ("a: [\n", str(config)),
            ("[port]: 1\n", "a key is no name"),
            ("? {port: 1}\n: 1\n", "a key is no name"),
            ("~: 1\n", "a key is no name"),
            ("api-key: ''\n", "a value is empty"),
            ("api-key: [one, '']\n", "a value is empty"),
        ]:
            config.write_text(text)
            self.fail_with(2, [part], "serve", LLAMA, "--config", config)
        self.fail_with(2, ["cannot be read"], "serve", LLAMA, "--config", self.dir / "missing.yaml")

    def test_wrong_usage_is_refused_before_anything_is_loaded(self) -> None:
        self.fail_with(2, ["no model is given"], "serve")
        self.fail_with(2, ["--ssl-keyfile"], "serve", LLAMA, "--ssl-keyfile", "key.pem")
        self.fail_with(1, ["key file"], "serve", LLAMA, "--port", "0", "--api-key-file", "missing")
        self.fail_with(2, ["--policy"], "serve", LLAMA, "--policy", "none")

    def test_an_empty_key_is_refused_wherever_it_comes_from(self) -> None:
        for keys in "", ",", "one,,two", "one,":
            self.fail_with(2, ["--api-key", "empty"], "serve", LLAMA, "--port", "0", "--api-key", keys)
        for keys in ",", "one,", ",one":
            self.fail_with(2, ["--api-key", "empty"], "serve", LLAMA, "--port", "0", env={"VELOZ_API_KEY": keys})
        file = self.dir / "keys"
        file.write_text("\f\n")
        self.fail_with(2, ["holds no key"], "serve", LLAMA, "--port", "0", "--api-key-file", file)

    def test_port_in_use_is_named(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            self.fail_with(1, [f"cannot listen on 127.0.0.1:{port}"], "serve", LLAMA, "--port", port)

    def test_missing_model_ends_the_server_with_its_error(self) -> None:
        self.fail_with(2, ["no-such-model"], "serve", "no-such-model", "--port", "0")


class ProbesTest(ServeTest):
    def num_traced_decode_tokens(self, server: Server) -> int:
        events = json.loads(server.request("GET", "/debug/trace")[2])["traceEvents"]
        return sum(event["args"]["num_decode_tokens"] for event in events if event["ph"] == "X")

    def test_probes_metrics_and_trace(self) -> None:
        server = self.serve(LLAMA)
        self.assertEqual(server.complete()[0], 200)
        for path in ("/health", "/livez", "/readyz", "/version"):
            self.assertEqual(server.status(path), 200, path)
        metrics = server.request("GET", "/metrics")[2].decode()
        self.assertRegex(metrics, r'veloz:request_success_total\{.*finished_reason="length".*\} 1\n')
        self.assertRegex(metrics, r"veloz:generation_tokens_total\{[^}]*\} 4\n")
        end = time.monotonic() + 20
        while self.num_traced_decode_tokens(server) < 3:  # a step is noted after its tokens are sent
            self.assertLess(time.monotonic(), end, "the trace lacks steps")
        self.assertEqual(server.stop(), 0)

    def test_public_server_without_a_key_warns(self) -> None:
        server = self.serve(LLAMA, "--host", "0.0.0.0", wait=False)
        server.wait_for_log("public without a key")
        with_key = self.serve(LLAMA, "--host", "0.0.0.0", "--api-key", "k", wait=False)
        with_key.wait_for_log("loading")
        self.assertFalse(any("public without a key" in line for line in with_key.log))


class KeysTest(ServeTest):
    def test_keys_are_asked_for_and_read_again_on_sighup(self) -> None:
        keys = self.dir / "keys"
        keys.write_text("old-key name=alice\n")
        server = self.serve(LLAMA, "--api-key-file", str(keys), "--log-format", "json")
        self.assertEqual(server.complete()[0], 401)
        self.assertEqual(server.complete({"Authorization": "Bearer old-key"})[0], 200)
        keys.write_text("new-key\nslow-key rpm=1\n")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("reloaded")
        self.assertEqual(server.complete({"Authorization": "Bearer old-key"})[0], 401)
        self.assertEqual(server.complete({"Authorization": "Bearer new-key"})[0], 200)
        slow = {"Authorization": "Bearer slow-key"}
        self.assertEqual([server.complete(slow)[0] for _ in range(2)], [200, 429])
        self.assertEqual(server.stop(), 0)
        requests = [line for line in map(json.loads, server.log) if line["event"] == "request"]
        alice = next(line for line in requests if line.get("key") == "alice")
        self.assertEqual((alice["status"], alice["output_tokens"]), (200, 4))
        self.assertGreater(alice["ttft_s"], 0)
        self.assertFalse(any("old-key" in line for line in server.log))


class FailureTest(ServeTest):
    def test_a_request_that_fails_in_its_step_is_answered_and_counted_and_the_server_goes_on(self) -> None:
        checkpoint = TinyCheckpoint()
        poisoned, sound = 5, 6
        checkpoint.set_element("model.embed_tokens.weight", poisoned * checkpoint.config["hidden_size"], math.nan)
        model = checkpoint.write(self.dir / "model")
        (model / "tokenizer.json").write_text(tokenizer_json())
        server = self.serve(model)
        expected = server.complete(prompt=[sound], max_tokens=1)
        self.assertEqual(expected[0], 200)
        for count in 1, 2, 3:
            status, answer = server.complete(prompt=[poisoned], max_tokens=1)
            self.assertEqual(status, 500)
            self.assertEqual(set(answer["error"]), {"message", "type", "param", "code"})
            self.assertIn("NaN", answer["error"]["message"])
            metrics = server.request("GET", "/metrics")[2].decode()
            self.assertRegex(metrics, rf'veloz:request_success_total\{{.*finished_reason="error".*\}} {count}\n')
            self.assertEqual(server.status("/readyz"), 200)
        self.assertEqual(server.complete(prompt=[sound], max_tokens=1)[1]["choices"], expected[1]["choices"])
        self.assertEqual(server.stop(), 0)


class WatchdogTest(ServeTest):
    def test_a_step_that_hangs_is_told_with_its_batch_and_the_server_goes_on_after_it(self) -> None:
        server = self.serve(LLAMA, "--watchdog-timeout", "3", "--log-format", "json")
        with ThreadPoolExecutor() as client:
            with FrozenThread(server.process.pid, WORKER):
                answer = client.submit(server.complete, {"X-Request-Id": "stuck"})
                event = json.loads(server.wait_for_log("slow step"))
                self.assertEqual((event["level"], event["running"], event["waiting"]), ("error", 1, 0))
                self.assertGreater(event["elapsed_s"], 2)
                self.assertIn("request stuck: ", event["batch"])
                status, _, body = server.request("GET", "/readyz")
                self.assertEqual((status, json.loads(body)["status"]), (503, "not ready"))
                self.assertIn("a step has taken", json.loads(body)["reason"])
                while server.status("/livez") == 200:
                    time.sleep(0.1)
                self.assertEqual(sum("slow step" in line for line in server.log), 1, "told once")
            self.assertEqual(answer.result()[0], 200)
        self.assertEqual([server.status(path) for path in ("/readyz", "/livez")], [200, 200])
        self.assertEqual(server.stop(), 0)


class ShutdownTest(ServeTest):
    def overloaded(self, *flags: str) -> tuple[Server, list[socket.socket]]:
        """A server with work for many seconds, nearly all of it waiting."""
        server = self.serve(LLAMA, "--max-num-seqs", "1", *flags)
        streams = [self.open_stream(server, max_tokens=900) for _ in range(200)]
        while not re.search(
            r"num_requests_waiting\{[^}]*\} ([3-9]\d|1\d\d)\n", server.request("GET", "/metrics")[2].decode()
        ):
            pass
        return server, streams

    @staticmethod
    def num_whole(streams: list[socket.socket]) -> int:
        return sum(b"data: [DONE]" in read_to_end(stream) for stream in streams)

    def test_running_requests_end(self) -> None:
        for sent in signal.SIGTERM, signal.SIGINT:
            server = self.serve(LLAMA)
            stream = self.open_stream(server, max_tokens=400)
            body = stream.recv(65536)
            self.assertIn(b"data: ", body)
            server.process.send_signal(sent)
            self.assertIn(b"data: [DONE]", body + read_to_end(stream), "the stream ended as a whole")
            self.assertEqual(server.wait(), 0)

    def test_new_requests_are_turned_away_and_a_second_signal_ends_the_waiting(self) -> None:
        server, streams = self.overloaded("--shutdown-timeout", "600")
        server.process.send_signal(signal.SIGTERM)
        while server.status("/readyz") == 200:
            pass
        self.assertEqual(server.status("/livez"), 200)
        status, headers, body = server.request("POST", "/v1/completions", {"prompt": "x", "max_tokens": 1})
        self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "shutting_down"))
        self.assertGreaterEqual(int(headers["retry-after"]), 1)
        self.assertEqual(server.stop(), 0)
        self.assertTrue(any("cancelling what has not ended" in line for line in server.log), server.log)
        self.assertLess(self.num_whole(streams), len(streams))

    def test_what_does_not_end_in_time_is_cancelled(self) -> None:
        server, streams = self.overloaded("--shutdown-timeout", "0.1")
        start = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - start, LONGEST_SHUTDOWN_S)
        self.assertIn("timeout_s=0.1", server.wait_for_log("shutting down"))
        self.assertTrue(any("cancelling what has not ended" in line for line in server.log), server.log)
        self.assertLess(self.num_whole(streams), len(streams))

    def test_a_step_that_hangs_is_left_behind(self) -> None:
        server = self.serve(LLAMA, "--shutdown-timeout", "0.1")
        with FrozenThread(server.process.pid, WORKER):
            self.open_stream(server, max_tokens=4)
            while not re.search(r"num_requests_running\{[^}]*\} 1\n", server.request("GET", "/metrics")[2].decode()):
                pass
            start = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            server.wait_for_log("a step does not end")
        self.assertEqual(server.wait(), 1)
        self.assertLess(time.monotonic() - start, LONGEST_SHUTDOWN_S)

    def test_interrupt_while_loading_ends_at_once(self) -> None:
        server = self.serve(LLAMA, wait=False)
        self.assertEqual(server.status("/livez"), 200)
        self.assertEqual(server.stop(signal.SIGINT), 0)


class ChaosTest(ServeTest):
    """Clients that misbehave change nothing for those that do not."""

    def test_good_streams_stay_as_they_are(self) -> None:
        server = self.serve(LLAMA)
        alone = [server.complete(prompt=f"Story {i}:", max_tokens=24)[1]["choices"][0]["text"] for i in range(8)]
        stop = threading.Event()
        clients = [threading.Thread(target=self.misbehave, args=(server.url, stop, i)) for i in range(4)]
        for client in clients:
            client.start()
        together: dict[int, str] = {}

        def ask(i: int) -> None:
            together[i] = server.complete(prompt=f"Story {i}:", max_tokens=24)[1]["choices"][0]["text"]

        for _ in range(3):
            askers = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
            self.assertEqual([together[i] for i in range(8)], alone)
        stop.set()
        for client in clients:
            client.join()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            metrics = server.request("GET", "/metrics")[2].decode()
            if re.search(r"num_requests_running\{[^}]*\} 0\n", metrics):
                break
            time.sleep(0.05)
        self.assertRegex(metrics, r"num_requests_running\{[^}]*\} 0\n")
        self.assertEqual(server.stop(), 0)

    @staticmethod
    def misbehave(url: str, stop: threading.Event, kind: int) -> None:
        address = urlsplit(url)
        body = json.dumps({"prompt": "x", "max_tokens": 300, "stream": True, "ignore_eos": True})
        good = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        while not stop.is_set():
            with socket.create_connection((address.hostname, address.port), timeout=START_S) as client:
                if kind == 0:  # leaves in the middle of its stream
                    client.sendall(good)
                    client.recv(200)
                elif kind == 1:  # leaves in the middle of its request
                    client.sendall(good[: len(good) // 2])
                elif kind == 2:  # talks nonsense
                    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
                    client.recv(200)
                else:  # sends what is no JSON, and much of it
                    client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
                    client.sendall(b"[" * 200000)
                    client.recv(200)


if __name__ == "__main__":
    unittest.main()
