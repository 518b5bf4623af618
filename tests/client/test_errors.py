# SPDX-License-Identifier: Apache-2.0
"""Refusals and failures as the official client raises them."""

import http.client
import signal
from typing import Any

import openai
from served import QUESTION, ClientTest, start_server


class ErrorTest(ClientTest):
    def check_error(
        self, error: openai.APIStatusError, status: int, code: str | None, param: str | None = None
    ) -> None:
        self.assertEqual((error.status_code, error.code, error.param), (status, code, param))
        self.assertTrue(error.message)

    def check_retry_after(self, error: openai.APIStatusError) -> None:
        self.assertRegex(error.response.headers["retry-after"], "^[1-9][0-9]*$")


class Refusals(ErrorTest):
    flags = ("--max-body-bytes", "4096")

    def test_what_cannot_be_is_a_bad_request(self) -> None:
        for stream in (False, True):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat(temperature=-1, stream=stream, extra_headers={"x-request-id": "bad-1"})
            self.check_error(caught.exception, 400, None, "temperature")
            self.assertEqual(caught.exception.request_id, "bad-1")
            self.assertEqual(caught.exception.type, "invalid_request_error")

    def test_a_prompt_beyond_the_models_length_says_so(self) -> None:
        with self.assertRaises(openai.BadRequestError) as caught:
            self.text("a b c " * 600)
        self.check_error(caught.exception, 400, "context_length_exceeded", "prompt")

    def test_unknown_paths_are_not_found(self) -> None:
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.embeddings.create(model="tiny-llama", input="a")
        self.check_error(caught.exception, 404, None)

    def test_other_methods_are_refused(self) -> None:
        with self.assertRaises(openai.APIStatusError) as caught:
            self.client.get("/chat/completions", cast_to=object)
        self.check_error(caught.exception, 405, None)
        self.assertEqual(caught.exception.response.headers["allow"], "POST")

    def test_bodies_beyond_the_limit_are_refused(self) -> None:
        with self.assertRaises(openai.APIStatusError) as caught:
            self.text("a" * 5000, extra_headers={"x-request-id": "large"})
        self.check_error(caught.exception, 413, None)
        self.assertEqual(caught.exception.request_id, "large")

    def test_what_is_too_much_to_compile_is_unprocessable(self) -> None:
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            self.chat(extra_body={"structured_outputs": {"regex": "((a{1,1000}){1,1000}){1,1000}"}})
        self.check_error(caught.exception, 422, None, "structured_outputs.regex")

    def test_other_types_of_bodies_are_refused(self) -> None:
        with self.assertRaises(openai.APIStatusError) as caught:
            self.text("a", extra_headers={"Content-Type": "text/plain", "x-request-id": "typed"})
        self.check_error(caught.exception, 415, None)
        self.assertEqual(caught.exception.request_id, "typed")

    def test_request_ids_come_back(self) -> None:
        named = {"x-request-id": "mine-7"}
        self.assertEqual(self.chat(max_tokens=1, extra_headers=named)._request_id, "mine-7")
        self.assertTrue(self.chat(max_tokens=1)._request_id)
        raw = self.client.chat.completions.with_raw_response.create(
            model="tiny-llama", messages=QUESTION, max_tokens=2, stream=True, extra_headers=named
        )
        self.assertEqual(raw.headers["x-request-id"], "mine-7")
        self.assertEqual({event.id for event in raw.parse()}, {"chatcmpl-mine-7"})


class Keys(ErrorTest):
    flags = ("--api-key", "sesame")

    def test_only_the_key_opens(self) -> None:
        self.assertEqual(self.connect(api_key="sesame").models.list().data[0].id, "tiny-llama")
        for key in ("none", "sesam", "sesames"):
            with self.assertRaises(openai.AuthenticationError) as caught:
                self.connect(api_key=key).chat.completions.create(
                    model="tiny-llama", messages=QUESTION, extra_headers={"x-request-id": "locked"}
                )
            self.check_error(caught.exception, 401, "invalid_api_key")
            self.assertEqual(caught.exception.request_id, "locked")


class RatesOfKeys(ErrorTest):
    flags = ("--api-key", "sesame", "--api-key-rpm", "1")

    def test_too_many_requests_of_a_key_are_told_when_to_come_back(self) -> None:
        client = self.connect(api_key="sesame")
        with self.assertRaises(openai.RateLimitError) as caught:
            for _ in range(100):
                client.models.list()
        self.check_error(caught.exception, 429, "rate_limit_exceeded")
        self.check_retry_after(caught.exception)
        self.assertTrue(caught.exception.request_id)


class FullQueues(ErrorTest):
    # With so large a buffer the stream that is not read goes on.
    flags = ("--max-num-seqs", "1", "--max-queued-requests", "2", "--max-stream-buffer-bytes", str(1 << 28))

    def test_what_the_queue_has_no_room_for_is_told_when_to_come_back(self) -> None:
        # All prompts of a request get in where the first does; but for one they wait.
        with self.text(["a"] * 64, max_tokens=900, stream=True, extra_body={"ignore_eos": True}) as running:
            next(iter(running))
            for prompt in ("a", ["a"] * 3):
                for stream in (False, True):
                    with self.assertRaises(openai.RateLimitError) as caught:
                        self.text(prompt, stream=stream)
                    self.check_error(caught.exception, 429, "queue_full")
                    self.check_retry_after(caught.exception)
                    self.assertTrue(caught.exception.request_id)
            # A request that was not taken is none that ended.
            metrics = self.server.request("GET", "/metrics")[2].decode()
            self.assertRegex(metrics, r'finished_reason="error"[^}]*\} 0\n')


class FewSequences(ErrorTest):
    """No more run at once than the server's own limit, whatever the model was built for: 64, and 8 beams."""

    flags = ("--max-num-seqs", "4")

    def check_refused(self, param: str, **fields: Any) -> None:
        with self.assertRaises(openai.BadRequestError) as caught:
            self.text("a", **fields)
        self.check_error(caught.exception, 400, None, param)
        self.assertIn("6 sequences at once (n or num_beams) exceed max_num_seqs 4", str(caught.exception))

    def test_more_choices_or_beams_than_run_at_once_are_refused(self) -> None:
        beams = {"use_beam_search": True}
        self.check_refused("n", n=6)
        self.check_refused("n", n=6, extra_body=beams)
        self.check_refused("best_of", n=2, best_of=6)
        # The two best of four beams are no eight sequences.
        self.assertEqual(len(self.text("a", n=2, best_of=4, extra_body=beams).choices), 2)


class Draining(ErrorTest):
    @classmethod
    def setUpClass(cls) -> None:
        cls.server = start_server("--max-stream-buffer-bytes", str(1 << 28))  # for a stream that is not read
        cls.client = cls.connect()

    def test_a_server_that_shuts_down_takes_no_more_requests(self) -> None:
        running = self.chat(stream=True, n=32, max_tokens=900, extra_body={"ignore_eos": True})
        next(iter(running))
        idle = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        idle.request("GET", "/health")
        idle.getresponse().read()
        self.server.process.send_signal(signal.SIGTERM)
        self.assertEqual(idle.sock.recv(1), b"")  # the shutdown closes it once it has begun
        idle.close()
        with self.assertRaises(openai.InternalServerError) as caught:
            self.chat()
        self.check_error(caught.exception, 503, "shutting_down")
        self.check_retry_after(caught.exception)
        running.close()
        self.server.stop()
