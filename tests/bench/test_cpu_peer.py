# SPDX-License-Identifier: Apache-2.0
"""The arithmetic and the reading of bench/cpu_peer.py, with programs that a test writes."""

import stat
import tempfile
import textwrap
import unittest
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
        loads = [Load("p", "prefill", new_tokens=32), Load("d", "decode", 1, 256, 8)]
        found = measure_peer(Peer("x", bench, None), Path("m.gguf"), 2, loads, [])
        self.assertEqual(found.rates, {"p": 100, "d": 7.256})

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
        found = measure_peer(Peer("x", bench, None), Path("m.gguf"), 2, [Load("d", "decode", 1, 256, 8)], [])
        self.assertEqual(found.rates, {"d": 9})

    def test_a_batched_bench_that_prints_no_table_failed(self) -> None:
        batched = self.program("silent", "print('| no table')")
        with self.assertRaisesRegex(Failed, "printed no result"):
            measure_peer(Peer("x", Path("unused"), batched), Path("m.gguf"), 2, [Load("d", "decode", 4, 8, 8)], [])

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
        loads = [Load("d4", "decode", 4, 256, 8)]
        found = measure_peer(Peer("x", Path("unused"), batched), Path("m.gguf"), 2, loads, [])
        self.assertEqual(found.rates, {"d4": 55.5})
        self.assertEqual(measure_peer(Peer("x", Path("unused"), None), Path("m.gguf"), 2, loads, []).rates, {})

    def test_what_fails_is_named_with_its_message(self) -> None:
        bench = self.program("bench", "sys.exit('unknown type 38')")
        with self.assertRaisesRegex(Failed, "(?s)bench -m .*unknown type 38"):
            measure_peer(Peer("x", bench, None), Path("m.gguf"), 2, [Load("p", "prefill", new_tokens=8)], [])

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
        loads = [Load("p", "prefill", new_tokens=32), *(Load(f"d{n}", "decode", n, 256, 8) for n in (1, 4))]
        found = measure_engine(veloz, self.dir, 2, 1, [*loads, Load("long", "decode", 1, 4096, 8)])
        self.assertEqual(found.rates, {"p": 500, "d1": 100, "d4": 400, "long": 100})
        self.assertEqual(found.limits["d4"], Limit("dram_read", 0.8, {"dram_read_gb_per_s": 50}))


def contender(name: str, weights: str, kv: str = "bf16", is_ours: bool = True) -> cpu_peer.Contender:
    return cpu_peer.Contender(name, weights, kv, is_ours, Measurement)


class RowsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.loads = cpu_peer.Loads.make(is_quick=False)
        self.samples = cpu_peer.Samples()

    def measured(self, who: cpu_peer.Contender, load: Load, rates: list[float], share: float = 0.9) -> None:
        for rate in rates:
            limits = {load.name: Limit("dram_read", share, PEAKS)} if who.is_ours else {}
            self.samples.add(who, Measurement({load.name: rate}, limits))

    def test_the_ratio_is_of_medians_to_the_best_peer_of_the_class(self) -> None:
        mine = contender("veloz int8", "8-bit")
        slow, fast, other = (contender(name, weights, "", False) for name, weights in (
            ("a", "8-bit"), ("b", "8-bit"), ("c", "4-bit")))  # fmt: skip
        four = self.loads.decode[1]
        self.measured(mine, four, [120, 150, 125])
        self.measured(slow, four, [40, 30])
        self.measured(fast, four, [50, 50])
        self.measured(other, four, [500])
        (row,) = cpu_peer.rows(self.samples, [mine, slow, fast, other], self.loads)
        self.assertEqual((row["best_peer"], row["ratio"], row["ratio_goal"]), ("b", 2.5, 2.2))
        self.assertEqual(set(row["peers"]), {"a", "b"})
        self.assertEqual(row["veloz"], {"median": 125, "p10": 121, "p90": 145})
        self.assertTrue(row["is_met"])

    def test_a_goal_is_met_when_ratio_and_share_both_are(self) -> None:
        goal = cpu_peer.Goal(2.0, 0.8)
        self.assertTrue(cpu_peer.is_met(goal, 2.0, 0.8, None))
        self.assertFalse(cpu_peer.is_met(goal, 2.1, 0.79, None))
        self.assertFalse(cpu_peer.is_met(goal, 1.9, 0.9, None))
        self.assertIsNone(cpu_peer.is_met(cpu_peer.Goal(), 9, 0.9, None))

    def test_fp8_prefill_is_held_against_our_bf16(self) -> None:
        bf16, fp8 = contender("veloz bf16", "bf16"), contender("veloz fp8", "fp8")
        self.measured(bf16, self.loads.prefill, [200])
        self.measured(fp8, self.loads.prefill, [180])
        row = cpu_peer.rows(self.samples, [bf16, fp8], self.loads)[1]
        self.assertEqual((row["share_of_bf16"], row["share_of_bf16_goal"], row["is_met"]), (0.9, 0.85, True))
        self.assertIsNone(row["ratio"])

    def test_a_small_cache_has_a_goal_at_the_long_context(self) -> None:
        mine = contender("veloz int8, fp8 cache", "8-bit", "fp8")
        self.measured(mine, self.loads.long, [30])
        (row,) = cpu_peer.rows(self.samples, [mine], self.loads)
        self.assertEqual((row["ratio_goal"], row["kv_cache"], row["is_met"]), (1.2, "fp8", None))


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
