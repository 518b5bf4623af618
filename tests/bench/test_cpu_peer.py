# SPDX-License-Identifier: Apache-2.0
"""The arithmetic and the reading of bench/cpu_peer.py, with programs that a test writes."""

import contextlib
import io
import stat
import tempfile
import textwrap
import unittest
from collections.abc import Callable, Collection
from pathlib import Path

import cpu_peer
from peers.machine import percentile, portable_command
from peers.step_rates import Failed, Limit, Load, Measurement, Peer, measure_engine, measure_peer

PEAKS = {"dram_read_gb_per_s": 50.0}


class ProgramsTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)

    def program(self, name: str, body: str) -> Path:
        """An executable that sees its arguments as `args` and as pairs in `flags`."""
        path = self.dir / name
        head = "#!/usr/bin/env python3\nimport json, sys\nargs = sys.argv[1:]\n"
        head += "flags = {a: b for a, b in zip(args, args[1:]) if a.startswith('-')}\n"
        path.write_text(head + textwrap.dedent(body))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def test_a_peers_single_sequence_is_llama_bench_behind_its_context(self) -> None:
        bench = self.program(
            "bench",
            """
            if args == ["--help"]:
                sys.exit(print("-d, --n-depth <n>"))
            assert flags["-t"] == "2" and flags["-r"] == "1", args
            speed = {"32": 100, "0": 7}[flags["-p"]] + int(flags.get("-d", 0)) / 1000
            print(json.dumps([{"avg_ts": speed}]))
            """,
        )
        peer = Peer("x", bench, None)
        for load, rate in ((Load("p", "prefill", new_tokens=32), 100), (Load("d", "decode", 1, 256, 8), 7.256)):
            self.assertEqual(measure_peer(peer, Path("m.gguf"), 2, [], load), Measurement(rate), load.name)

    def test_a_peer_without_depth_is_asked_to_generate_after_a_prompt(self) -> None:
        bench = self.program(
            "old-bench",
            """
            if args == ["--help"]:
                sys.exit(print("-gp <pp,tg>"))
            assert "-d" not in args and flags["-gp"] == "256,8" and flags["-n"] == "0", args
            print(json.dumps([{"avg_ts": 9}]))
            """,
        )
        found = measure_peer(Peer("x", bench, None), Path("m.gguf"), 2, [], Load("d", "decode", 1, 256, 8))
        self.assertEqual(found, Measurement(9))

    def test_a_batched_bench_that_prints_no_table_failed(self) -> None:
        batched = self.program("silent", "print('| no table')")
        with self.assertRaisesRegex(Failed, "printed no result"):
            measure_peer(Peer("x", Path("unused"), batched), Path("m.gguf"), 2, [], Load("d", "decode", 4, 8, 8))

    def test_a_peers_many_sequences_are_llama_batched_bench(self) -> None:
        batched = self.program(
            "batched",
            """
            assert "-pps" in args and flags["-npp"] == "256" and flags["-npl"] == "4" and flags["-c"] == str(4 * 264), args
            print("a log line")
            print("|  PP |  TG | S_TG t/s |    T s |")
            print("|-----|-----|----------|--------|")
            print("| 256 |   8 |    55.50 |  1.234 |")
            """,
        )
        load = Load("d4", "decode", 4, 256, 8)
        found = measure_peer(Peer("x", Path("unused"), batched), Path("m.gguf"), 2, [], load)
        self.assertEqual(found, Measurement(55.5))
        self.assertIsNone(measure_peer(Peer("x", Path("unused"), None), Path("m.gguf"), 2, [], load))

    def test_what_fails_is_named_with_its_message(self) -> None:
        bench = self.program("bench", "sys.exit('unknown type 38')")
        with self.assertRaisesRegex(Failed, "(?s)bench -m .*unknown type 38"):
            measure_peer(Peer("x", bench, None), Path("m.gguf"), 2, [], Load("p", "prefill", new_tokens=8))

    def test_our_rates_include_the_time_between_steps(self) -> None:
        veloz = self.program(
            "veloz",
            """
            group = {"roof": "dram_read", "roof_ms": 8}
            phases = []
            if flags["--prefill"] != "0":
                phases.append({"phase": "prefill", "batch_size": 1, "new_tokens": int(flags["--prefill"]),
                               "step_ms": 64, "roof_ms": 8, "between_steps": None, "groups": [group]})
            for size in map(int, flags["--batch-sizes"].split(",")):
                phases.append({"phase": "decode", "batch_size": size, "new_tokens": 1, "step_ms": 9, "roof_ms": 8,
                               "between_steps": {"sampling_ms": 0.75, "host_ms": 0.25}, "groups": [group]})
            print(json.dumps({"phases": phases, "peaks": {"dram_read_gb_per_s": 50}}))
            """,
        )
        prompt, four = Load("p", "prefill", new_tokens=32), Load("d4", "decode", 4, 256, 8)
        limit = Limit("dram_read", 0.125, {"dram_read_gb_per_s": 50})
        self.assertEqual(measure_engine(veloz, self.dir, 2, 1, prompt), Measurement(500, limit))
        limit = Limit("dram_read", 0.8, {"dram_read_gb_per_s": 50})
        self.assertEqual(measure_engine(veloz, self.dir, 2, 1, four), Measurement(400, limit))


Measure = Callable[[Load], Measurement | None]


def contender(
    name: str,
    weights: str,
    kv: str = "bf16",
    is_ours: bool = True,
    loads: Collection[Load] = (),
    measure: Measure = lambda load: None,
) -> cpu_peer.Contender:
    return cpu_peer.Contender(name, weights, kv, is_ours, loads, measure)


class RoundsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.loads = cpu_peer.Loads.make(is_quick=False)
        self.one, self.four, _ = self.loads.decode

    def order(self, contenders: list[cpu_peer.Contender], round_idx: int) -> list[tuple[str, str]]:
        return [(who.name, load.name) for who, load in cpu_peer.turns(contenders, self.loads, round_idx)]

    def test_rivals_of_a_class_run_one_after_another_for_each_load(self) -> None:
        both = [self.one, self.four]
        ours = [contender(f"ours {weights}", weights, loads=both) for weights in ("bf16", "8-bit")]
        peers = [contender(f"{name} 8-bit", "8-bit", "", False, both) for name in ("a", "b")]
        one, four = self.one.name, self.four.name
        contenders = [*ours, *peers]
        self.assertEqual(
            self.order(contenders, 0),
            [("ours bf16", one), ("ours bf16", four)]
            + [("ours 8-bit", one), ("a 8-bit", one), ("b 8-bit", one)]
            + [("ours 8-bit", four), ("a 8-bit", four), ("b 8-bit", four)],
        )
        self.assertEqual(
            self.order(contenders, 1),
            [("ours bf16", one), ("ours bf16", four)]
            + [("b 8-bit", one), ("a 8-bit", one), ("ours 8-bit", one)]
            + [("b 8-bit", four), ("a 8-bit", four), ("ours 8-bit", four)],
        )
        self.assertEqual(self.order(contenders, 2), self.order(contenders, 0))

    def test_only_those_who_want_a_load_run_it(self) -> None:
        ours = contender("ours", "8-bit", "fp8", loads=[self.loads.long])
        peer = contender("a", "8-bit", "", False, [self.one, self.loads.long])
        self.assertEqual(
            self.order([ours, peer], 0),
            [("a", self.one.name), ("ours", self.loads.long.name), ("a", self.loads.long.name)],
        )

    def test_what_fails_is_left_out_and_keeps_the_rounds_it_ran(self) -> None:
        def fails_in_the_second_round(load: Load) -> Measurement:
            calls.append(load.name)
            if len(calls) == 2:
                raise Failed("no memory")
            return Measurement(10)

        def one_faster_each_round(load: Load) -> Measurement:
            return Measurement(next(rates), Limit("dram_read", 0.5, PEAKS))

        calls: list[str] = []
        rates = iter([20.0, 80.0, 90.0])
        ours = contender("ours", "8-bit", loads=[self.one], measure=one_faster_each_round)
        peer = contender("a", "8-bit", "", False, [self.one], fails_in_the_second_round)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            samples = cpu_peer.run_rounds([ours, peer], self.loads, 3)
        self.assertEqual(samples.rates("a", self.one), {0: 10})
        self.assertEqual(samples.rates("ours", self.one), {0: 20, 1: 80, 2: 90})
        (row,) = cpu_peer.rows(samples, [ours, peer], self.loads)
        self.assertEqual((row["ratio"], row["ratio_p10"], row["ratio_p90"], row["limit_ratio"]), (2, 2, 2, 4))
        self.assertEqual((row["veloz"]["median"], row["rounds"]), (80, 3))
        self.assertEqual(err.getvalue(), "left out from here on: a: no memory\n")
        self.assertEqual(out.getvalue(), "".join(f"round {n} of 3 done\n" for n in (1, 2, 3)))

    def test_a_load_that_a_peer_cannot_run_leaves_no_sample(self) -> None:
        peer = contender("a", "8-bit", "", False, [self.four])
        with contextlib.redirect_stdout(io.StringIO()):
            samples = cpu_peer.run_rounds([peer], self.loads, 1)
        self.assertEqual(samples.rates("a", self.four), {})


class RowsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.loads = cpu_peer.Loads.make(is_quick=False)
        self.samples = cpu_peer.Samples()

    def measured(
        self, who: cpu_peer.Contender, load: Load, rates: list[float], shares: Collection[float] = (), first: int = 0
    ) -> None:
        """Rates of the rounds from the first on; a share of 0.9 where none are given."""
        for number, (rate, share) in enumerate(zip(rates, shares or [0.9] * len(rates), strict=True)):
            limit = Limit("dram_read", share, PEAKS) if who.is_ours else None
            self.samples.add(first + number, who, load, Measurement(rate, limit))

    def test_the_ratio_is_the_median_of_the_rounds_ratios(self) -> None:
        mine, peer = contender("veloz int8", "8-bit"), contender("a", "8-bit", "", False)
        four = self.loads.decode[1]
        self.measured(mine, four, [100, 160, 120], [0.5, 0.8, 0.8])
        self.measured(peer, four, [100, 80, 40])  # ratios 1, 2, 3; of the medians 1.5
        (row,) = cpu_peer.rows(self.samples, [mine, peer], self.loads)
        self.assertEqual((row["ratio"], row["ratio_p10"], row["ratio_p90"]), (2, 1.2, 2.8))
        self.assertEqual(row["limit_ratio"], 2.5)  # of 2, 2.5, 3.75
        self.assertEqual(row["veloz"], {"median": 120, "p10": 104, "p90": 152})
        self.assertEqual(row["peers"]["a"], {"median": 80, "p10": 48, "p90": 96})

    def test_the_best_peer_is_the_one_with_the_lowest_ratio_in_its_class(self) -> None:
        mine = contender("veloz int8", "8-bit")
        slow, fast, other = (contender(name, weights, "", False) for name, weights in (
            ("a", "8-bit"), ("b", "8-bit"), ("c", "4-bit")))  # fmt: skip
        four = self.loads.decode[1]
        self.measured(mine, four, [120, 50, 50])
        self.measured(slow, four, [60])  # a higher median than b's, of a round that gave more to all
        self.measured(fast, four, [70, 26, 26])
        self.measured(other, four, [500, 500, 500])
        (row,) = cpu_peer.rows(self.samples, [mine, slow, fast, other], self.loads)
        self.assertEqual((row["best_peer"], row["ratio"], row["ratio_goal"]), ("b", 1.923, 2.2))
        self.assertEqual(set(row["peers"]), {"a", "b"})
        self.assertFalse(row["is_met"])

    def test_rates_without_a_common_round_have_no_ratio(self) -> None:
        mine, peer = contender("veloz int8", "8-bit"), contender("a", "8-bit", "", False)
        four = self.loads.decode[1]
        self.measured(mine, four, [100])
        self.measured(peer, four, [50], first=1)
        (row,) = cpu_peer.rows(self.samples, [mine, peer], self.loads)
        keys = ("best_peer", "ratio", "ratio_p10", "ratio_p90", "limit_ratio", "is_met")
        self.assertEqual([row[key] for key in keys], [None] * 5 + [True])
        self.assertEqual(row["peers"]["a"]["median"], 50)

    def test_a_goal_is_met_when_ratio_and_share_both_are(self) -> None:
        goal = cpu_peer.Goal(2.0, 0.8)
        self.assertTrue(cpu_peer.is_met(goal, 2.0, 0.8, None))
        self.assertFalse(cpu_peer.is_met(goal, 2.1, 0.79, None))
        self.assertFalse(cpu_peer.is_met(goal, 1.9, 0.9, None))
        self.assertIsNone(cpu_peer.is_met(cpu_peer.Goal(), 9, 0.9, None))

    def test_fp8_prefill_is_held_against_our_bf16_of_the_same_round(self) -> None:
        bf16, fp8 = contender("veloz bf16", "bf16"), contender("veloz fp8", "fp8")
        self.measured(bf16, self.loads.prefill, [200, 100, 150])
        self.measured(fp8, self.loads.prefill, [160, 90, 150])  # 0.8, 0.9, 1; of the medians 1
        row = cpu_peer.rows(self.samples, [bf16, fp8], self.loads)[1]
        self.assertEqual((row["share_of_bf16"], row["share_of_bf16_goal"], row["is_met"]), (0.9, 0.85, True))
        self.assertIsNone(row["ratio"])

    def test_a_small_cache_has_a_goal_at_the_long_context(self) -> None:
        mine = contender("veloz int8, fp8 cache", "8-bit", "fp8")
        self.measured(mine, self.loads.long, [30])
        (row,) = cpu_peer.rows(self.samples, [mine], self.loads)
        self.assertEqual((row["ratio_goal"], row["kv_cache"], row["is_met"]), (1.2, "fp8", None))


class ArgumentsTest(unittest.TestCase):
    def wanted(self, *words: str) -> list[str]:
        arguments = cpu_peer.parse_arguments(["dir", "--output", "part.jsonl", *words])
        loads = cpu_peer.Loads.make(arguments.quick)
        return [load.name for load in loads.wanted(arguments.context, False, arguments.loads)]

    def test_loads_are_chosen_by_parts_of_their_names(self) -> None:
        everything = [load.name for load in cpu_peer.Loads.make(is_quick=False).all]
        self.assertEqual(self.wanted(), everything)
        self.assertEqual(self.wanted("--loads", "prefill"), ["prefill 512"])
        self.assertEqual(self.wanted("--loads", "decode", "--quick"), [
            "decode 1, context 32", "decode 4, context 32", "decode 16, context 32", "decode 1, context 64"])  # fmt: skip

    def test_a_number_in_a_part_is_a_whole_one(self) -> None:
        self.assertEqual(
            self.wanted("--loads", "decode 1, decode 4", "--context", "short"),
            ["decode 1, context 256", "decode 4, context 256"],
        )

    def refusal(self, *words: str) -> str:
        err = io.StringIO()
        with contextlib.redirect_stderr(err), self.assertRaises(SystemExit):
            cpu_peer.parse_arguments(["dir", *words])
        return err.getvalue()

    def test_a_part_of_no_name_is_refused(self) -> None:
        self.assertIn(
            '--loads "4096" names none of: prefill 512; decode 1, context 256;',
            self.refusal("--loads", "prefill,4096", "--context", "short"),
        )

    def test_a_part_does_not_replace_the_days_table(self) -> None:
        self.assertIn("a file of its own with --output", self.refusal("--loads", "prefill"))
        cpu_peer.parse_arguments(["dir", "--loads", "prefill", "--quick"])


class PeersTest(unittest.TestCase):
    def test_a_peer_runs_the_kinds_named_with_it_or_all(self) -> None:
        peer = Peer.parse("ik=bin/bench,bin/batched,Q8_0_R8+IQ4_K")
        self.assertEqual((peer.name, peer.bench, peer.batched), ("ik", Path("bin/bench"), Path("bin/batched")))
        self.assertTrue(peer.runs("IQ4_K") and peer.runs("Q8_0_R8"))
        self.assertFalse(peer.runs("Q8_0"))
        self.assertTrue(Peer.parse("llama.cpp=bench").runs("Q8_0"))
        with self.assertRaisesRegex(ValueError, "'bench' is not NAME=LLAMA_BENCH"):
            Peer.parse("bench")

    def test_a_small_cache_is_measured_at_the_long_context_alone(self) -> None:
        loads = cpu_peer.Loads.make(is_quick=False)
        self.assertEqual(loads.wanted("both", False), [*loads.short, loads.long])
        self.assertEqual(loads.wanted("short", False), loads.short)
        self.assertEqual(loads.wanted("long", False), [loads.long])
        self.assertEqual(loads.wanted("both", True), [loads.long])
        self.assertEqual(loads.wanted("short", True), [])


class EnginesTest(unittest.TestCase):
    def test_an_engines_flags_tell_its_lm_head_and_its_cache(self) -> None:
        (int8,) = (precision for precision in cpu_peer.PRECISIONS if precision.name == "int8")
        flags = " ".join(cpu_peer.build_flags(int8, "fp8", 4352))
        self.assertEqual(
            flags,
            "--dtype bf16 --quant int8 --quant-lm-head int8 --kv-cache-dtype fp8 --max-model-len 4352 --max-num-seqs 16",
        )


class NamesTest(unittest.TestCase):
    def test_files_belong_to_the_class_of_their_type(self) -> None:
        names = {
            "": "bf16",
            "-F16": "bf16",
            "-BF16_R16": "bf16",
            "-Q8_0": "8-bit",
            "-Q8_K_R8": "8-bit",
            "-Q4_0": "4-bit",
            "-IQ4_KS": "4-bit",
        }
        for name, weights in (names | {"-Q2_K": None, "-F32": None}).items():
            self.assertEqual(cpu_peer.weights_of_file(Path(f"dir/model{name}.gguf")), weights, name)

    def test_commands_do_not_tell_places(self) -> None:
        words = ["build/peer", "--peer", "llama.cpp=/a/b/llama-bench,/a/b/llama-batched-bench", "--veloz", "/x/veloz"]
        self.assertEqual(
            portable_command(words), "build/peer --peer llama.cpp=llama-bench,llama-batched-bench --veloz veloz"
        )

    def test_percentiles_interpolate(self) -> None:
        self.assertEqual([percentile([4, 1, 3, 2], rank) for rank in (0, 50, 100)], [1, 2.5, 4])
        self.assertEqual(percentile([7], 90), 7)


if __name__ == "__main__":
    unittest.main()
