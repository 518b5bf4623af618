# SPDX-License-Identifier: Apache-2.0
"""`veloz bench serve` against a server whose times are known, and the benchmarks without a server."""

import json
import re
import signal
import time
import unittest
from typing import Any

from fake_openai_server import Behaviour, FakeServer, serving
from veloz_cli import MODELS, CliTest, Result
from veloz_server import ServeTest

# A busy machine answers late, never early: medians are held to this, nothing to less.
SLACK_S = 0.25


class BenchServeTest(CliTest):
    maxDiff = 2000

    def bench(self, server: FakeServer, *flags: str) -> Result:
        return self.succeed("bench", "serve", "--base-url", server.url, *flags)

    def bench_json(self, server: FakeServer, *flags: str) -> dict[str, Any]:
        result: dict[str, Any] = self.bench(server, "--json", *flags).json()
        return result

    def test_counts_requests_and_tokens(self) -> None:
        lengths = ["--random-input-len", "24", "--random-output-len", "7"]
        with serving(Behaviour()) as server:
            result = self.bench_json(server, "--num-prompts", "12", *lengths)
            self.assertEqual(len(server.requests), 13)  # one to warm up
        self.assertEqual((result["completed"], result["failed"]), (12, 0))
        self.assertEqual(result["total_input_tokens"], 12 * 24)
        self.assertEqual(result["total_output_tokens"], 12 * 7)
        self.assertEqual(result["model_id"], "fake-model")
        self.assertAlmostEqual(result["output_throughput"], 84 / result["duration"], places=3)

    def test_measures_the_times_the_server_takes(self) -> None:
        # One after another, so that a moment in which nothing runs is felt by few of them.
        flags = ["--num-prompts", "6", "--max-concurrency", "1", "--random-output-len", "8"]
        with serving(Behaviour(ttft_s=0.5, itl_s=0.05, catches_up=False)) as server:
            result = self.bench_json(server, *flags, "--percentile-metrics", "ttft,tpot,itl,e2el")
        expected = {
            "ttft": (0.5, SLACK_S),
            "tpot": (0.05, 0.05),
            "itl": (0.05, 0.05),
            "e2el": (0.5 + 7 * 0.05, SLACK_S),
        }
        for name, (expected_s, slack_s) in expected.items():
            measured_s = result[f"median_{name}_ms"] / 1e3
            self.assertGreaterEqual(measured_s, expected_s - 0.005, name)
            self.assertLess(measured_s, expected_s + slack_s, name)

    def test_prints_the_table_of_vllm(self) -> None:
        with serving(Behaviour()) as server:
            flags = ["--num-prompts", "4", "--random-output-len", "3", "--max-concurrency", "2"]
            table = self.bench(server, *flags, "--request-rate", "100", "--goodput", "ttft:60000", "tpot:60000").out
        labels = [line.split(":")[0] for line in table.splitlines()]
        self.assertEqual(
            labels,
            [
                "============ Serving Benchmark Result ============",
                "Successful requests",
                "Failed requests",
                "Maximum request concurrency",
                "Request rate configured (RPS)",
                "Benchmark duration (s)",
                "Total input tokens",
                "Total generated tokens",
                "Request throughput (req/s)",
                "Request goodput (req/s)",
                "Output token throughput (tok/s)",
                "Peak output token throughput (tok/s)",
                "Peak concurrent requests",
                "Total token throughput (tok/s)",
                "---------------Time to First Token----------------",
                "Mean TTFT (ms)",
                "Median TTFT (ms)",
                "P99 TTFT (ms)",
                "-----Time per Output Token (excl. 1st token)------",
                "Mean TPOT (ms)",
                "Median TPOT (ms)",
                "P99 TPOT (ms)",
                "---------------Inter-token Latency----------------",
                "Mean ITL (ms)",
                "Median ITL (ms)",
                "P99 ITL (ms)",
                "==================================================",
            ],
        )
        self.assertRegex(table, r"(?m)^Total generated tokens: {18}12 {8}$")

    def test_keeps_to_the_concurrency(self) -> None:
        with serving(Behaviour(ttft_s=0.2)) as server:
            flags = ["--num-prompts", "12", "--random-output-len", "2", "--max-concurrency", "3", "--save-detailed"]
            result = self.bench_json(server, *flags)
        self.assertEqual(result["max_concurrent_requests"], 3)
        self.assertGreater(result["duration"], 4 * 0.2)
        # Waiting for a place is no part of a request's latency, and is told beside it.
        self.assertLess(result["median_ttft_ms"], 200 + SLACK_S * 1e3)
        self.assertGreater(max(result["queue_times"]), 0.4)

    def test_sends_at_the_rate_asked_for(self) -> None:
        with serving(Behaviour()) as server:
            flags = ["--num-prompts", "30", "--random-output-len", "1", "--request-rate", "40", "--save-detailed"]
            runs = [self.bench_json(server, *flags)["start_times"] for _ in range(3)]
        for starts in runs:
            self.assertEqual(starts, sorted(starts))
            self.assertGreaterEqual(starts[-1], 30 / 40 - 0.001)
        self.assertLess(min(starts[-1] for starts in runs), 30 / 40 + 2 * SLACK_S)

    def test_a_slow_server_does_not_hold_up_the_arrivals(self) -> None:
        flags = ["--num-prompts", "30", "--random-output-len", "1", "--request-rate", "40", "--save-detailed"]
        flags += ["--num-warmups", "0"]
        with serving(Behaviour()) as server:
            starts = self.bench_json(server, *flags)["start_times"]
        with serving(Behaviour(ttft_s=3)) as server:
            result = self.bench_json(server, *flags)
        for start, of_slow in zip(starts, result["start_times"], strict=True):
            self.assertAlmostEqual(of_slow, start, delta=1)
        self.assertEqual(result["max_concurrent_requests"], 30, "all had begun before the first was answered")

    def test_the_same_seed_sends_the_same_prompts(self) -> None:
        with serving(Behaviour()) as server:
            for seed in "3", "3", "4":
                flags = ["--num-prompts", "5", "--random-output-len", "1", "--num-warmups", "0", "--seed", seed]
                self.bench(server, *flags, "--max-concurrency", "1")
            prompts = [seen.body["prompt"] for seen in server.requests]
        self.assertEqual(prompts[0:5], prompts[5:10])
        self.assertNotEqual(prompts[0:5], prompts[10:15])

    def test_prompts_begin_alike_where_that_is_asked_for(self) -> None:
        lengths = ["--random-input-len", "8", "--random-prefix-len", "16", "--random-output-len", "1"]
        with serving(Behaviour()) as server:
            result = self.bench_json(server, "--num-prompts", "6", "--random-vocab-size", "50", *lengths)
            prompts = [seen.body["prompt"] for seen in server.requests]
        self.assertEqual(result["total_input_tokens"], 6 * 24)
        self.assertEqual(len({tuple(prompt[:16]) for prompt in prompts}), 1)
        self.assertGreater(len({tuple(prompt[16:]) for prompt in prompts}), 1)
        self.assertLess(max(max(prompt) for prompt in prompts), 50)

    def test_another_path_can_be_named(self) -> None:
        path = "/behind/a/proxy/v1/completions"
        with serving(Behaviour()) as server:
            self.bench(server, "--num-prompts", "1", "--random-output-len", "1", "--endpoint", path)
            self.assertEqual({seen.path for seen in server.requests}, {path})

    def test_counts_failures_tells_examples_and_tries_nothing_again(self) -> None:
        kinds = {2: "429", 3: "429", 5: "500", 7: "break", 8: "error-event", 9: "no-finish"}
        with serving(Behaviour(fail=kinds.get)) as server:
            flags = ["--num-prompts", "10", "--random-output-len", "4", "--max-concurrency", "1", "--json"]
            run = self.bench(server, *flags)
            self.assertEqual(len(server.requests), 11)
        result = run.json()
        self.assertEqual((result["completed"], result["failed"]), (4, 6))
        self.assertEqual(result["total_output_tokens"], 4 * 4)
        self.assertIn("6 of 10 requests failed", run.err)
        self.assertIn("2 x  HTTP 429: made-up failure 429", run.err)
        self.assertIn("1 x  HTTP 500: made-up failure 500", run.err)
        self.assertIn("in the stream: made-up failure in the stream", run.err)
        self.assertIn("ended without a finish reason", run.err)

    def test_fails_at_once_where_the_server_refuses(self) -> None:
        with serving(Behaviour(api_key="secret")) as server:
            flags = ["--base-url", server.url, "--num-prompts", "100"]
            self.fail_with(1, ["HTTP 401", "--api-key"], "bench", "serve", *flags)
            self.fail_with(1, ["invalid api key"], "bench", "serve", *flags, "--model", "m")
            self.assertEqual(len(server.requests), 0)
            self.succeed("bench", "serve", *flags, "--random-output-len", "1", env={"OPENAI_API_KEY": "secret"})

    def test_fails_where_nobody_listens(self) -> None:
        with serving(Behaviour()) as server:
            url = server.url
        self.assertEqual(self.veloz("bench", "serve", "--base-url", url).code, 1)

    def test_a_chat_sends_words_and_extra_fields(self) -> None:
        with serving(Behaviour()) as server:
            flags = ["--backend", "openai-chat", "--num-prompts", "2", "--random-input-len", "6"]
            flags += ["--random-output-len", "3", "--header", "x-team=a", "--extra-body", '{"top_k": 5}']
            result = self.bench_json(server, *flags)
            seen = server.requests[-1]
        self.assertEqual(result["total_output_tokens"], 6)
        self.assertEqual(seen.path, "/v1/chat/completions")
        self.assertEqual(len(seen.body["messages"][0]["content"].split()), 6)
        self.assertEqual((seen.body["top_k"], seen.body["ignore_eos"]), (5, True))
        self.assertEqual(seen.headers["x-team"], "a")

    def test_shapes_texts_with_a_tokenizer(self) -> None:
        with serving(Behaviour(has_usage=False)) as server:
            flags = ["--backend", "openai-chat", "--num-prompts", "2", "--random-input-len", "50"]
            flags += ["--random-output-len", "2", "--tokenizer", str(MODELS / "tiny-llama"), "--save-detailed"]
            result = self.bench_json(server, *flags)
        for length in result["input_lens"]:
            self.assertAlmostEqual(length, 50, delta=3)
        self.assertGreaterEqual(min(result["output_lens"]), 2)

    def test_without_usage_counts_chunks(self) -> None:
        with serving(Behaviour(has_usage=False)) as server:
            result = self.bench_json(server, "--num-prompts", "2", "--random-output-len", "9")
        self.assertEqual(result["total_output_tokens"], 18)

    def test_sends_a_file_of_prompts(self) -> None:
        lines = [{"prompt": "first", "output_len": 2}, {"prompt": [5, 6, 7], "output_len": 3}]
        path = self.write_jsonl("prompts.jsonl", lines)
        with serving(Behaviour()) as server:
            flags = ["--dataset-name", "custom", "--dataset-path", str(path), "--num-prompts", "2"]
            result = self.bench_json(server, *flags, "--num-warmups", "0")
            prompts = [seen.body["prompt"] for seen in server.requests]
            self.assertNotIn("ignore_eos", server.requests[0].body)
        self.assertEqual(result["total_output_tokens"], 5)
        self.assertCountEqual(map(str, prompts), ["first", "[5, 6, 7]"])

    def test_tells_long_and_short_requests_apart(self) -> None:
        with serving(Behaviour(ttft_s=0.01)) as server:
            flags = ["--dataset-name", "mixed", "--num-prompts", "8", "--random-input-len", "10"]
            flags += ["--random-output-len", "6", "--mixed-long-input-len", "300", "--mixed-long-output-len", "2"]
            flags += ["--mixed-long-share", "0.25"]
            result = self.bench_json(server, *flags)
            table = self.bench(server, *flags).out
        groups = result["groups"]
        self.assertEqual((groups["long"]["completed"], groups["short"]["completed"]), (2, 6))
        self.assertEqual(groups["long"]["total_input_tokens"], 600)
        self.assertEqual(groups["short"]["total_output_tokens"], 36)
        self.assertIn("Of These: short", table)

    def test_writes_result_and_plot(self) -> None:
        with serving(Behaviour()) as server:
            flags = ["--num-prompts", "3", "--random-output-len", "4", "--save-result", "--result-dir", "results"]
            self.bench(server, *flags, "--plot", "plot.svg")
            self.bench(server, *flags, "--result-filename", "named.json")
        files = [path.name for path in (self.dir / "results").iterdir()]
        self.assertEqual(len(files), 2)
        self.assertTrue(any(re.fullmatch(r"openai-infqps-fake-model-\d{8}-\d{6}\.json", name) for name in files))
        saved = json.loads((self.dir / "results" / "named.json").read_text())
        self.assertEqual((saved["completed"], saved["request_rate"]), (3, "inf"))
        self.assertNotIn("ttfts", saved)
        plot = (self.dir / "plot.svg").read_text()
        self.assertTrue(plot.startswith("<svg ") and plot.endswith("</svg>\n"))

    def test_finds_the_rate_that_the_server_sustains(self) -> None:
        # Two at a time, 0.1 s each: 20 requests/s. Beyond, waiting grows through the run.
        with serving(Behaviour(ttft_s=0.1, slots=2)) as server:
            flags = ["--num-prompts", "20", "--random-output-len", "1", "--find-max-qps", "--request-rate", "10"]
            flags += ["--burstiness", "1000", "--goodput", "ttft:260", "--qps-precision", "0.5"]
            flags += ["--goodput-share", "0.7"]  # some may be late because the machine is busy
            result = self.bench_json(server, *flags)
        self.assertGreaterEqual(result["max_request_rate"], 10)
        self.assertLess(result["max_request_rate"], 40)
        self.assertTrue(any(not trial["holds"] for trial in result["trials"]))

    def test_the_search_prints_a_row_per_trial(self) -> None:
        with serving(Behaviour()) as server:
            flags = ["--num-prompts", "4", "--random-output-len", "1", "--find-max-qps", "--request-rate", "4000"]
            table = self.bench(server, *flags, "--goodput", "ttft:60000").out
        head, *rows, last = table.splitlines()
        self.assertIn("TTFT P99 ms", head)
        self.assertEqual([row.split()[0] for row in rows], ["4000.000", "8000.000"])
        self.assertEqual(last, "Maximum request rate (req/s): 8000.000")

    def test_the_search_needs_limits_and_says_where_nothing_holds(self) -> None:
        with serving(Behaviour(ttft_s=0.02)) as server:
            flags = ["bench", "serve", "--base-url", server.url, "--num-prompts", "2", "--random-output-len", "1"]
            self.fail_with(2, ["--find-max-qps", "--goodput"], *flags, "--find-max-qps")
            run = self.veloz(*flags, "--find-max-qps", "--goodput", "ttft:1", "--request-rate", "1000")
        self.assertEqual(run.code, 1)
        self.assertIn("No request rate meets the limits", run.out)

    def test_the_search_refuses_what_it_would_ignore(self) -> None:
        with serving(Behaviour()) as server:
            flags = ["bench", "serve", "--base-url", server.url, "--find-max-qps", "--goodput", "ttft:60000"]
            for other in ["--max-concurrency", "4"], ["--plot", "x.svg"], ["--save-result"], ["--save-detailed"]:
                self.fail_with(2, ["--find-max-qps", "excludes", other[0]], *flags, *other)
            self.assertEqual(len(server.requests), 0)
        entry = self.succeed("bench", "serve", "--help").out.partition("\n  --find-max-qps")[2].partition("\n  --")[0]
        for other in "--max-concurrency", "--plot", "--save-result", "--save-detailed":
            self.assertIn(other, entry)

    def test_an_interrupt_reports_what_there_is(self) -> None:
        with serving(Behaviour(ttft_s=0.02, itl_s=0.02)) as server:
            flags = ["--base-url", server.url, "--num-prompts", "1000", "--max-concurrency", "4"]
            process = self.start("bench", "serve", *flags, "--random-output-len", "5", "--json")
            while len(server.requests) < 20 and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            num_sent = len(server.requests)
        self.assertEqual(process.returncode, 1, err)
        self.assertIn("interrupted", err)
        result = json.loads(out)
        self.assertGreater(result["completed"], 4)
        self.assertEqual(result["failed"], 0)
        self.assertLess(num_sent, 200)

    def test_hundreds_of_streams_at_once(self) -> None:
        with serving(Behaviour(ttft_s=1.0)) as server:
            flags = ["--num-prompts", "300", "--random-input-len", "8", "--random-output-len", "2"]
            result = self.bench_json(server, *flags)
        self.assertEqual((result["completed"], result["failed"]), (300, 0))
        self.assertGreater(result["max_concurrent_requests"], 100)

    def test_wrong_options_are_said_before_anything_is_sent(self) -> None:
        with serving(Behaviour()) as server:
            for flag, value in [
                ("--backend", "tgi"),
                ("--goodput", "ttft=5"),
                ("--percentile-metrics", "speed"),
                ("--metric-percentiles", "101"),
                ("--max-concurrency", "0"),
                ("--request-rate", "0"),
                ("--burstiness", "-1"),
                ("--num-prompts", "0"),
                ("--extra-body", "[]"),
                ("--header", "novalue"),
                ("--base-url", "ftp://x"),
            ]:
                flags = [] if flag == "--base-url" else ["--base-url", server.url]
                self.fail_with(2, [value], "bench", "serve", *flags, flag, value)
            self.assertEqual(len(server.requests), 0)


class ServedBenchTest(ServeTest):
    def test_counts_what_the_server_counts(self) -> None:
        server = self.serve(MODELS / "tiny-llama")
        lengths = ["--random-input-len", "24", "--random-output-len", "12", "--random-range-ratio", "0.5"]
        flags = ["--base-url", server.url, "--num-prompts", "30", "--num-warmups", "0", *lengths, "--json"]
        result = self.succeed("bench", "serve", *flags).json()
        self.assertEqual((result["completed"], result["failed"]), (30, 0))
        metrics = server.request("GET", "/metrics")[2].decode()
        for name, counted in [("prompt", "total_input_tokens"), ("generation", "total_output_tokens")]:
            found = re.search(rf"(?m)^veloz:{name}_tokens_total\{{.*\}} (\S+)$", metrics)
            assert found is not None
            self.assertEqual(float(found[1]), result[counted])
        self.assertGreater(result["total_output_tokens"], 30 * 6)

    def test_a_chat_goes_through_the_models_template(self) -> None:
        server = self.serve(MODELS / "tiny-llama")
        flags = ["--backend", "openai-chat", "--num-prompts", "4", "--random-input-len", "20", "--json"]
        result = self.succeed("bench", "serve", "--base-url", server.url, *flags, "--random-output-len", "5").json()
        self.assertEqual((result["completed"], result["total_output_tokens"]), (4, 20))
        self.assertGreater(result["median_ttft_ms"], 0)

    def test_conversations_of_a_jsonl_file_are_asked_with_the_lengths_of_their_answers(self) -> None:
        talks = [
            ("Tell me about the long river.", "It goes to the sea, as all of them do."),
            ("Where is the home of Tomas?", "The home of Tomas is in Berlin."),
            ("Hi", "Too short a question to measure anything with."),
        ]
        turns = [[{"from": "human", "value": ask}, {"from": "gpt", "value": answer}] for ask, answer in talks]
        path = self.write_jsonl("talks.jsonl", [{"conversations": each} for each in turns])
        model = MODELS / "tiny-llama"
        server = self.serve(model)

        def num_tokens(text: str) -> int:
            return int(json.loads(server.request("POST", "/tokenize", {"prompt": text})[2])["count"])

        flags = ["--base-url", server.url, "--dataset-name", "sharegpt", "--dataset-path", str(path)]
        flags += ["--tokenizer", str(model), "--num-prompts", "2", "--num-warmups", "0", "--ignore-eos", "--json"]
        result = self.succeed("bench", "serve", *flags, "--save-detailed").json()
        self.assertEqual((result["completed"], result["failed"]), (2, 0))
        lengths = [(num_tokens(ask), num_tokens(answer)) for ask, answer in talks[:2]]
        self.assertCountEqual(zip(result["input_lens"], result["output_lens"], strict=True), lengths)
        self.assertEqual(server.stop(), 0)


class OfflineBenchTest(CliTest):
    model = MODELS / "tiny-llama"

    def test_throughput_counts_what_was_generated(self) -> None:
        flags = ["--num-prompts", "6", "--random-input-len", "20", "--random-output-len", "5"]
        result = self.succeed("bench", "throughput", self.model, *flags, "--json").json()
        self.assertEqual((result["num_requests"], result["num_prompt_tokens"]), (6, 120))
        self.assertEqual(result["num_output_tokens"], 30)
        self.assertAlmostEqual(result["requests_per_second"], 6 / result["elapsed_time"], places=3)
        text = self.succeed("bench", "throughput", self.model, *flags).out
        number = r"[\d.]+"
        self.assertRegex(
            text,
            rf"^Throughput: {number} requests/s, {number} total tokens/s, {number} output tokens/s\n"
            r"Total num prompt tokens:  120\nTotal num output tokens:  30\n$",
        )

    def test_throughput_of_a_file_counts_its_text(self) -> None:
        turns = [
            {"from": "human", "value": "Tell me about the river. " * 3},
            {"from": "gpt", "value": "It is long. " * 4},
        ]
        path = self.dir / "talk.json"
        path.write_text(json.dumps([{"conversations": turns}]))
        flags = ["--dataset-name", "sharegpt", "--dataset-path", path, "--num-prompts", "2", "--output-len", "3"]
        result = self.succeed("bench", "throughput", self.model, *flags, "--json").json()
        self.assertEqual(result["num_output_tokens"], 6)
        self.assertGreater(result["num_prompt_tokens"], 20)

    def test_latency_of_a_batch(self) -> None:
        flags = ["--batch-size", "2", "--input-len", "8", "--output-len", "4", "--num-iters", "3"]
        result = self.succeed("bench", "latency", self.model, *flags, "--num-iters-warmup", "1", "--json").json()
        self.assertEqual(len(result["latencies"]), 3)
        self.assertLessEqual(result["median_ttft_ms"] / 1e3, max(result["latencies"]))
        self.assertGreater(result["median_tpot_ms"], 0)
        text = self.succeed("bench", "latency", self.model, *flags, "--num-iters-warmup", "0").out
        self.assertRegex(text, r"(?m)^Avg latency: [\d.]+ seconds$")
        self.assertRegex(text, r"(?m)^99% percentile latency: [\d.]+ seconds$")
        self.assertRegex(text, r"(?m)^P99 TPOT \(ms\): +[\d.]+ *$")

    def test_throughput_and_latency_write_plots(self) -> None:
        sizes = ["--num-prompts", "3", "--random-input-len", "8", "--random-output-len", "4"]
        self.succeed("bench", "throughput", self.model, *sizes, "--plot", "throughput.svg")
        sizes = ["--batch-size", "2", "--input-len", "8", "--output-len", "4", "--num-iters", "3"]
        self.succeed("bench", "latency", self.model, *sizes, "--plot", "latency.svg")
        for name, title in ("throughput", "3 requests at once"), ("latency", "batches of 2, 8 tokens in, 4 out"):
            plot = (self.dir / f"{name}.svg").read_text()
            self.assertTrue(plot.startswith("<svg ") and plot.endswith("</svg>\n"))
            self.assertIn(title, plot)

    def test_one_new_token_has_no_time_per_token(self) -> None:
        flags = ["--batch-size", "1", "--input-len", "4", "--output-len", "1", "--num-iters", "1"]
        text = self.succeed("bench", "latency", self.model, *flags).out
        self.assertNotIn("TPOT", text)

    def test_impossible_numbers_are_refused(self) -> None:
        for verb, flag in [("latency", "--batch-size"), ("latency", "--output-len"), ("throughput", "--num-prompts")]:
            self.fail_with(2, [flag], "bench", verb, self.model, flag, "0")

    def test_bench_needs_a_verb_that_exists(self) -> None:
        self.fail_with(2, ["no verb", "serve, throughput, latency"], "bench")
        self.fail_with(2, ["bench nothing", "serve, throughput, latency"], "bench", "nothing")


if __name__ == "__main__":
    unittest.main()
