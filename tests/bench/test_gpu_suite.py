# SPDX-License-Identifier: Apache-2.0
"""bench/gpu_suite with programs that a test writes: what fails, hangs or loses the device, and what goes on then."""

import contextlib
import io
import json
import stat
import tempfile
import textwrap
import time
import unittest
import unittest.mock
from pathlib import Path
from typing import Any

from gpu import correctness, device, kernels, lengths, models, process, suite, tiny
from gpu.suite import Context, Json, Part, Results, Step


def is_running(pid: int) -> bool:
    """A zombie does not; nobody may be there to bury it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class SuiteTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        quiet = contextlib.redirect_stdout(io.StringIO())
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)
        self.dir = Path(directory.name)
        (self.dir / "bin").mkdir()
        self.output = self.dir / "out.json"
        self.context = self.open()

    def open(self) -> Context:
        return Context(self.dir, self.dir / "work", Results.open(self.output, "abc"), device.Sampler())

    def program(self, name: str, body: str) -> None:
        """It sees its arguments as `args`, those of --name=value as `flags`."""
        path = self.dir / "bin" / name
        head = "#!/usr/bin/env python3\nimport json, os, pathlib, sys, time\nargs = sys.argv[1:]\n"
        head += "flags = dict(a[2:].split('=', 1) for a in args if a.startswith('--') and '=' in a)\n"
        head += "def say(**row): print(json.dumps(row), flush=True)\n"
        path.write_text(head + textwrap.dedent(body))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run_process(self, *words: str, timeout_s: float = 20, silence_s: float | None = None) -> process.Outcome:
        return process.run(words, log=self.dir / "log", timeout_s=timeout_s, silence_s=silence_s)

    def stored(self) -> Any:
        return json.loads(self.output.read_text())


class ProcessTest(SuiteTest):
    def test_lines_exit_code_and_the_last_of_both_outputs_are_kept(self) -> None:
        outcome = self.run_process("sh", "-c", "echo one; echo two >&2; exit 4")
        self.assertEqual((outcome.status, outcome.exit_code), ("failed", 4))
        self.assertEqual([line.text for line in outcome.lines], ["one"])
        self.assertEqual(sorted(outcome.tail[1:]), ["one", "two"])

    def test_a_hanging_program_dies_with_its_children(self) -> None:
        script = "trap '' TERM; sleep 60 & echo $!; sleep 60"
        with unittest.mock.patch.object(process, "GRACE_S", 0.2):
            outcome = self.run_process("sh", "-c", script, timeout_s=3)
        self.assertEqual(outcome.status, "timeout")
        child = int(outcome.lines[0].text)
        deadline = time.monotonic() + 20
        while is_running(child):
            self.assertLess(time.monotonic(), deadline, "the child lives on")
            time.sleep(0.01)

    def test_one_that_says_nothing_for_long_is_stopped(self) -> None:
        self.assertEqual(self.run_process("sh", "-c", "echo a; sleep 60", silence_s=0.4).status, "silent")

    def test_a_missing_program_is_a_failure_with_its_name(self) -> None:
        outcome = self.run_process("/nowhere/program")
        self.assertEqual(outcome.status, "failed")
        self.assertIn("/nowhere/program", outcome.tail[0])


class PartsTest(SuiteTest):
    def run_parts(self, *parts: Part, budget_s: float = 60) -> bool:
        return suite.run_parts(self.context, parts, budget_s)

    def test_what_fails_does_not_keep_the_rest_from_running(self) -> None:
        def fails(context: Context, seconds: float) -> Json:
            raise ValueError("no luck")

        steps = [Step("bad", fails), Step("good", lambda context, seconds: {"status": "ok", "figure": 7})]
        self.assertFalse(self.run_parts(Part("p", 30, lambda context: steps)))
        found = self.stored()["parts"]["p"]
        self.assertEqual(found["status"], "partial")
        self.assertIn("no luck", found["steps"]["bad"]["error"])
        self.assertEqual(found["steps"]["good"]["figure"], 7)

    def test_a_later_call_runs_only_what_is_not_done(self) -> None:
        ran: list[str] = []
        is_broken = True

        def step(name: str) -> Step:
            def run(context: Context, seconds: float) -> Json:
                ran.append(name)
                return {"status": "failed" if name == "b" and is_broken else "ok"}

            return Step(name, run)

        part = Part("p", 30, lambda context: [step("a"), step("b")])
        self.assertFalse(self.run_parts(part))
        is_broken = False
        self.context = self.open()
        self.assertTrue(self.run_parts(part))
        self.context = self.open()
        self.assertTrue(self.run_parts(part))
        self.assertEqual(ran, ["a", "b", "b"])

    def test_the_file_is_written_after_every_step(self) -> None:
        seen: list[list[str]] = []

        def run(context: Context, seconds: float) -> Json:
            seen.append(sorted(self.stored()["parts"]["p"]["steps"]) if self.output.exists() else [])
            return {"status": "ok"}

        self.run_parts(Part("p", 30, lambda context: [Step("a", run), Step("b", run)]))
        self.assertEqual(seen, [[], ["a"]])

    def test_no_step_begins_without_time_for_it(self) -> None:
        part = Part("p", 30, lambda context: [Step("a", lambda context, seconds: {"status": "ok"})])
        self.assertFalse(self.run_parts(part, budget_s=1))
        self.assertEqual(self.stored()["parts"], {})

    def test_steps_know_the_time_that_is_left(self) -> None:
        given: list[float] = []

        def run(context: Context, seconds: float) -> Json:
            given.append(seconds)
            return {"status": "ok"}

        self.run_parts(Part("p", 30, lambda context: [Step("a", run, limit_s=9), Step("b", run)]), budget_s=20)
        self.assertEqual(given[0], 9)
        self.assertTrue(10 < given[1] <= 20)


class CorrectnessTest(SuiteTest):
    def test_suites_are_read_from_the_listing(self) -> None:
        listing = "noise\nA.\n  One\nB/Norm.  # TypeParam = x\n  Two/0  # GetParam() = 1.5\n"
        self.assertEqual(correctness.suites(listing), ["A", "B/Norm"])

    def test_a_crash_hides_neither_the_tests_before_nor_those_behind(self) -> None:
        self.program(
            "test_cuda_device",
            """
            pattern = flags["gtest_filter"]
            tests = [t for t in ("S.A", "S.B", "S.C") if t not in pattern.split("-")[-1].split(":")]
            done = []
            for test in tests:
                print("[ RUN      ] " + test, flush=True)
                if test == "S.B":
                    os.abort()
                if test == "S.A":
                    print("[  FAILED  ] S.A (1 ms)", flush=True)
                done.append({"name": test[2:], "result": "COMPLETED", "status": "RUN"})
            report = {"testsuites": [{"name": "S", "testsuite": done}]}
            pathlib.Path(flags["gtest_output"].removeprefix("json:")).write_text(json.dumps(report))
            """,
        )
        result = correctness.run_suite(self.context, "S", 30)
        self.assertEqual(result["status"], "failed")
        self.assertEqual(result["run"], 3)
        self.assertEqual([item["test"] for item in result["failed"]], ["S.A", "S.B"])
        self.assertEqual(result["summary"], "1 of 3 passed")

    def test_an_exit_code_counts_where_every_test_passed(self) -> None:
        self.program(
            "test_cuda_device",
            """
            report = {"testsuites": [{"name": "S", "testsuite": [{"name": "A", "status": "RUN"}]}]}
            pathlib.Path(flags["gtest_output"].removeprefix("json:")).write_text(json.dumps(report))
            """,
        )
        self.assertEqual(correctness.run_suite(self.context, "S", 30)["status"], "ok")
        result = correctness.run_suite(self.context, "S", 30, ["sh", "-c", '"$@"; exit 9', "sh"])
        self.assertEqual((result["status"], result["failed"][0]["message"]), ("failed", "failed, exit code 9"))

    def test_a_suite_that_skips_everything_proves_nothing(self) -> None:
        self.program(
            "test_cuda_device",
            """
            report = {"testsuites": [{"name": "S", "testsuite": [{"name": "A", "result": "SKIPPED", "status": "RUN"}]}]}
            pathlib.Path(flags["gtest_output"].removeprefix("json:")).write_text(json.dumps(report))
            """,
        )
        result = correctness.run_suite(self.context, "S", 30)
        self.assertEqual((result["status"], result["skipped"]), ("failed", 1))


class KernelsTest(SuiteTest):
    def test_the_bench_goes_on_behind_a_case_that_lost_the_device(self) -> None:
        self.program(
            "veloz_bench_cuda_kernels",
            """
            for case in range(int(flags["first-case"]), 4):
                if case == 1:
                    say(case=1, bench="decode", shape="x", error="an illegal address")
                    sys.exit(3)
                say(case=case, bench="decode", shape="y", median_us=1.5)
            """,
        )
        result = kernels.kernel_bench(self.context, "attention", "decode", "decode", 60)
        self.assertEqual([row["case"] for row in result["rows"]], [0, 1, 2, 3])
        self.assertEqual((result["status"], result["summary"]), ("failed", "3 cases, 1 failed"))

    def test_a_later_call_goes_on_where_time_ran_out(self) -> None:
        self.program(
            "veloz_bench_cuda_kernels",
            """
            first = int(flags["first-case"])
            say(case=first, bench="decode", shape="y", median_us=1.5)
            if first == 0:
                say(bench="stopped", why="budget", case=1)
            """,
        )
        part = Part("attention", 60, lambda context: [kernels.bench_step("attention", "decode", "decode")])
        suite.run_parts(self.context, [part], 60)
        self.assertEqual(self.stored()["parts"]["attention"]["steps"]["decode"]["status"], "partial")
        suite.run_parts(self.context, [part], 60)
        step = self.stored()["parts"]["attention"]["steps"]["decode"]
        self.assertEqual((step["status"], [row["case"] for row in step["rows"]]), ("ok", [0, 1]))

    def test_rows_are_found_in_lists_objects_and_lines(self) -> None:
        for text in ('[{"a": 1}]', '{"rows": [{"a": 1}], "x": 2}', '{"a": 1}', 'noise\n{"a": 1}\nmore'):
            self.assertEqual(kernels.parse_rows(text), [{"a": 1}], text)


TINY_RUNS = (models.latency(1), models.Run("mix", "throughput file={file}", mix=lengths.GPT_J, count=20, at_once=4))


class ModelsTest(SuiteTest):
    def model(self, has_engine: bool = True) -> models.Model:
        if has_engine:
            (self.context.work / "engines" / "m-abc").mkdir(parents=True, exist_ok=True)
        return models.Model("m", "config", 100, "--quant fp8", "--gpu-memory-utilization 0.9", TINY_RUNS, 60)

    def test_a_run_that_kills_the_program_leaves_the_others(self) -> None:
        self.program(
            "veloz",
            """
            assert args[:2] == ["bench", "sweep"] and args[3:5] == ["--device", "cuda"], args
            say(loaded="a model", load_s=1)
            for word, run in zip(args, args[1:]):
                if word != "--run":
                    continue
                if run.startswith("latency"):
                    os.abort()
                say(run=run, elapsed_time=0.01, num_output_tokens=10, output_tokens_per_second=1000)
            """,
        )
        result = models.sweep(self.context, self.model(), 60)
        self.assertEqual(result["status"], "partial")
        named = {row["name"]: row for row in result["rows"] if "name" in row}
        self.assertIn("failed", named["decode 1"]["error"])
        self.assertEqual(named["mix"]["output_tokens_per_second"], 1000)
        self.assertEqual(named["mix"]["run"], "throughput file=requests/m-mix.jsonl")

    def test_a_later_call_measures_only_what_is_missing(self) -> None:
        self.program(
            "veloz",
            """
            runs = [run for word, run in zip(args, args[1:]) if word == "--run"]
            say(loaded="a model", load_s=1)
            assert "latency" in runs[0]
            say(run=runs[0], latencies=[0.01], decode_tokens_per_second=50)
            """,
        )
        self.context.results.put("m", "sweep", {"status": "partial", "rows": [{"name": "mix", "run": "..."}]})
        result = models.sweep(self.context, self.model(), 60)
        self.assertEqual(result["status"], "ok")
        self.assertEqual(result["summary"], "mix; decode 1 50 tok/s")

    def test_a_run_that_was_cut_short_is_not_measured(self) -> None:
        self.program(
            "veloz",
            """
            runs = [run for word, run in zip(args, args[1:]) if word == "--run"]
            say(loaded="a model", load_s=1)
            say(run=runs[0], latencies=[0.01], decode_tokens_per_second=50)
            say(run=runs[1], num_requests=0, steady_output_tokens_per_second=44)
            time.sleep(60)
            """,
        )
        result = models.sweep(self.context, self.model(), 11)
        self.assertEqual((result["status"], result["summary"]), ("partial", "decode 1 50 tok/s"))

    def test_an_engine_that_is_missing_is_built_for_both_classes(self) -> None:
        self.program(
            "veloz",
            """
            if args[0] == "build":
                pathlib.Path(args[3]).mkdir(parents=True)
                sys.exit()
            assert args[2].endswith("/engines/m-abc"), args
            say(loaded="a model", load_s=1)
            assert "--allow-nondeterminism" in args
            say(run=args[args.index("--run") + 1], elapsed_time=0.01, num_output_tokens=1)
            """,
        )
        fast = models.fast(self.model(has_engine=False), 30, "mix")
        self.assertEqual((fast.part, [run.name for run in fast.runs]), ("m-fast", ["mix"]))
        self.assertEqual(models.sweep(self.context, fast, 60)["status"], "ok")
        self.assertIsNone(models.build_if_missing(self.context, self.model(), 60))

    def test_what_does_not_build_is_not_measured(self) -> None:
        self.program("veloz", "sys.exit('no room')")
        result = models.sweep(self.context, self.model(has_engine=False), 60)
        self.assertEqual((result["status"], result["error"]), ("failed", "veloz build"))
        self.assertIn("no room", result["tail"])

    def test_every_run_is_one_that_the_program_reads(self) -> None:
        # As benchmark::parse_sweep_run does.
        known = {"latency": "batch in out iters warmup beams", "throughput": "prompts in out file beams warm stop"}
        for model in models.MODELS:
            self.assertEqual(len({run.name for run in model.runs}), len(model.runs))
            for run in model.runs:
                mode, *words = run.arguments.split()
                self.assertLessEqual({word.split("=")[0] for word in words}, set(known[mode].split()), run.name)
                self.assertEqual("{file}" in run.arguments, run.mix is not None or run.fixed is not None)


class LengthsTest(unittest.TestCase):
    def test_means_and_limits_are_those_published(self) -> None:
        for mix in (lengths.LLAMA2_70B, lengths.GPT_J):
            pairs = lengths.lengths(mix, 2000)
            self.assertAlmostEqual(sum(a for a, _ in pairs) / 2000, mix.mean_in, delta=1)
            self.assertAlmostEqual(sum(b for _, b in pairs) / 2000, mix.mean_out, delta=1)
            self.assertLessEqual(max(b for _, b in pairs), mix.most_out)
            self.assertGreaterEqual(min(b for _, b in pairs), mix.least_out)

    def test_a_staggered_start_is_spread_over_the_answers(self) -> None:
        pairs = list(lengths.staggered(lengths.fixed(10, 100, 6), 4, is_aged=True))
        self.assertEqual(pairs, [(10, 100), (35, 75), (60, 50), (85, 25), (10, 100), (10, 100)])

    def test_prompts_have_their_length_and_differ_from_the_first_token_on(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "requests.jsonl"
            lengths.write_requests(path, iter([(1, 5), (7, 6), (40000, 7)]), 1000)
            requests = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertEqual([len(request["prompt"]) for request in requests], [1, 7, 40000])
        self.assertEqual([request["output_len"] for request in requests], [5, 6, 7])
        self.assertEqual(len({request["prompt"][0] for request in requests}), 3)
        self.assertTrue(all(3 <= token < 1000 for request in requests for token in request["prompt"]))


class FiguresTest(unittest.TestCase):
    def test_agreement_ends_at_the_first_difference(self) -> None:
        self.assertEqual(tiny.agreement([[1, 2, 3, 4]], [[1, 2, 9, 4]]), 0.5)
        self.assertEqual(tiny.agreement([[1, 2], [5]], [[1, 2], [6]]), 0.5)
        self.assertEqual(tiny.agreement([[]], [[1]]), 0)

    def test_a_windows_energy_is_its_mean_power_over_its_time(self) -> None:
        sampler = device.Sampler()
        sampler.samples = [
            device.Sample(at, power, 50, 1000 + at) for at, power in ((0, 9), (1, 100), (2, 300), (4, 9))
        ]
        self.assertEqual(
            sampler.window(0.5, 2.5),
            {"power_w": 200, "joules": 400, "busy_percent": 50, "sm_mhz": 1002, "lowest_sm_mhz": 1001},
        )
        self.assertEqual(sampler.window(2.5, 3.5), {})

    def test_the_library_is_looked_for_in_the_toolkit_and_in_python_packages(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            package = Path(directory) / "lib/python3.12/site-packages/nvidia/cu13/lib"
            package.mkdir(parents=True)
            (package / device.CUBLASLT).touch()
            self.assertEqual(device.find_cublaslt([f"{directory}/none"], [directory]), package / device.CUBLASLT)
            self.assertIsNone(device.find_cublaslt([f"{directory}/none"], [f"{directory}/other"]))


if __name__ == "__main__":
    unittest.main()
