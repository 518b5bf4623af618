# SPDX-License-Identifier: Apache-2.0
"""Flags, environment and prompts that cannot be: exit code 2, what is wrong and what could be."""

import json
import unittest
from pathlib import Path
from typing import Any

from tiny_checkpoint import TinyCheckpoint, tokenizer_json
from veloz_cli import CliTest

ISAS = ["portable", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "avx512_bf16_dot"]


class BadUsageTest(CliTest):
    def setUp(self) -> None:
        super().setUp()
        self.model = TinyCheckpoint().write(self.dir / "model")
        (self.model / "tokenizer.json").write_text(tokenizer_json())
        self.engine = self.dir / "engine"

    def refuse(self, parts: list[str], *args: str | Path, **options: Any) -> None:
        result = self.fail_with(2, parts, *args, **options)
        self.assertEqual(result.out, "", "results only on stdout")

    def refuse_build(self, parts: list[str], *flags: str, **options: Any) -> None:
        self.refuse(parts, "build", self.model, "-o", self.engine, *flags, **options)
        self.assertFalse(self.engine.exists())

    def refuse_run(self, parts: list[str], *flags: str | Path, **options: Any) -> None:
        self.refuse(parts, "run", self.build_once(), *flags, **options)

    def build_once(self) -> Path:
        return self.engine if self.engine.exists() else self.build(self.model)

    def test_verbs_and_flags_that_are_not_there(self) -> None:
        self.refuse(["no verb is given", "build, quantize, run, chat"])
        verbs = "build, quantize, run, chat, serve, bench, eval, inspect, profile, verify, plan, doctor"
        self.refuse(['there is no verb "serv"', verbs], "serv")
        self.refuse(["--max-token", "veloz run --help"], "run", self.model, "x", "--max-token", "3")
        self.refuse(["model is required", "veloz build --help"], "build")
        self.refuse(["--output is required"], "build", self.model)
        self.refuse(["engine is required"], "inspect")

    def test_build_flags(self) -> None:
        self.refuse_build(['--dtype "int8" is not known', "auto, bf16 or fp32"], "--dtype", "int8")
        self.refuse_build(['--kv-cache-dtype "fp4" is not known', "auto, bf16, fp8 or int8"], "--kv-cache-dtype", "fp4")
        self.refuse_build(['"gguf" is not known', "safetensors, dummy or dummy-at-load"], "--load-format", "gguf")
        self.refuse_build(['no target "rocm"', "cpu:avx512_bf16_dot"], "--target", "rocm")
        self.refuse_build(['"neon"', "portable, avx2"], "--target", "cpu:neon")
        self.refuse_build(["--max-model-len 65 exceeds the 64", "at most 64"], "--max-model-len", "65")
        self.refuse_build(["--max-model-len is -1"], "--max-model-len", "-1")
        self.refuse_build(["--max-num-seqs is 0", "from 1 to 65536"], "--max-num-seqs", "0")
        self.refuse_build(["--max-num-batched-tokens is 5", "1048576"], "--max-num-batched-tokens", "5")
        self.refuse_build(["--max-beam-width is 65", "--max-num-seqs"], "--max-beam-width", "65")
        self.refuse_build(["--block-size is 8", "multiple of 16"], "--block-size", "8")
        self.refuse_build(["-3 threads", "1 to 1024"], "--threads", "-3")
        self.refuse_build(['no pass "fuse_all"', "fuse_qkv"], "--disable-pass", "fuse_all")
        self.refuse_build(["--seed", "x1"], "--seed", "x1")

    def test_sampling_parameters(self) -> None:
        for parts, flags in (
            (["temperature is -0.5", "0 (greedy) or more"], ["--temperature", "-0.5"]),
            (["temperature is nan"], ["--temperature", "nan"]),
            (["top_p is 1.5", "at most 1"], ["--top-p", "1.5"]),
            (["top_p is 0", "above 0"], ["--top-p", "0"]),
            (["min_p is 1", "below 1"], ["--min-p", "1"]),
            (["top_k is -3"], ["--top-k", "-3"]),
            (["repetition_penalty is 0"], ["--repetition-penalty", "0"]),
            (["presence_penalty is 3", "from -2 to 2"], ["--presence-penalty", "3"]),
            (["max_tokens is 0", "1 or more"], ["--max-tokens", "0"]),
            (["min_tokens is 9", "at most 4"], ["--min-tokens", "9", "--max-tokens", "4"]),
            (["n is 0"], ["--n", "0"]),
            (["1000000000000 sequences", "64"], ["--n", "1000000000000", "--max-tokens", "4"]),
            (["num_beams is 9", "at most 8"], ["--num-beams", "9"]),
            (["top_k cannot be combined with beam search"], ["--num-beams", "2", "--top-k", "4", "--temperature", "0"]),
            (["logprobs is 21", "at most 20"], ["--logprobs", "21"]),
            (["prompt_logprobs is -1", "0 or more"], ["--prompt-logprobs", "-1"]),
            (["a bad word is empty"], ["--bad-words", ""]),
            (["stop_token_ids entry is 40", "from 0 to 39"], ["--stop-token-ids", "40"]),
            (["logit_bias id is 99"], ["--logit-bias", "99:1"]),
            (["logit_bias value is 101"], ["--logit-bias", "3:101"]),
            (['--logit-bias "3=1" is not ID:BIAS', "42:-100"], ["--logit-bias", "3=1"]),
            (['--early-stopping "soon"', "true, false or never"], ["--early-stopping", "soon"]),
            (["a stop string is empty"], ["--stop", ""]),
            (["--max-tokens", "many"], ["--max-tokens", "many"]),
        ):
            with self.subTest(flags=flags):
                self.refuse_run(parts, "ab", *flags)

    def test_loading_flags(self) -> None:
        self.refuse_run(["--max-num-seqs is 65", "1 to 64"], "ab", "--max-num-seqs", "65")
        self.refuse_run(["2000 threads", "1 to 1024"], "ab", "--threads", "2000")
        result = self.veloz("run", self.build_once(), "ab", "--kv-cache-memory-bytes", "100")
        self.assertEqual(result.code, 1)
        self.assertIn("a KV cache of 100 B holds 0 blocks", result.err)
        self.assertIn("--kv-cache-memory-bytes", result.err)

    def test_instruction_sets_that_cannot_be_forced(self) -> None:
        self.refuse_run(['instruction set "sse9"', ", ".join(ISAS)], "ab", env={"VELOZ_ISA": "sse9"})
        best = self.succeed("doctor", "--quick", "--json").json()["isa"]
        # What runs avx512_bf16 runs avx512_bf16_dot, where it may be the slower of the two.
        first = len(ISAS) if best == "avx512_bf16" else ISAS.index(best) + 1
        for isa in ISAS[first:]:
            parts = [f"instruction set {isa} cannot run here", "lacks", f"the best it has is {best}"]
            self.refuse_run(parts, "ab", env={"VELOZ_ISA": isa})

    def test_environment_is_checked_like_flags(self) -> None:
        self.refuse_build(['--dtype "fp8"'], env={"VELOZ_DTYPE": "fp8"})
        self.refuse_run(["--threads", "lots"], "ab", env={"VELOZ_THREADS": "lots"})

    def test_prompts_that_do_not_fit(self) -> None:
        self.refuse_run(["a prompt of 70 tokens", "max_model_len is 64", "shorten the prompt by 7 tokens"], "ab" * 35)
        self.refuse_run(
            ["2 tokens and max_tokens 63 exceed", "64", "lower max_tokens to 62"], "ab", "--max-tokens", "63"
        )
        self.refuse_run(["the prompt has no tokens"], "", "--max-tokens", "4")

    def test_contradictory_inputs(self) -> None:
        source = self.write_jsonl("in.jsonl", [{"prompt": "ab"}])
        self.refuse_run(["two prompts", "give one"], "ab", "--prompt", "ab")
        self.refuse_run(["a prompt and --input", "one of them"], "ab", "--input", source)
        self.refuse_run(["--output is given without --input"], "ab", "--output", self.dir / "out")
        self.refuse_run(["nothing.jsonl", "does not exist"], "--input", self.dir / "nothing.jsonl")
        self.refuse_run(["is a directory"], "--input", self.dir)

    def test_lines_of_jsonl(self) -> None:
        for line, parts in (
            ("{", ["no valid JSON"]),
            ("[1]", ["no JSON object"]),
            ('{"text": "ab"}', ['no "prompt"']),
            ('{"prompt": 7}', ['"prompt" is 7, it must be a string']),
            ('{"prompt_token_ids": [3, 4294967299]}', ['"prompt_token_ids" is 4294967299', "a whole number"]),
            ('{"prompt_token_ids": [3, 1.5]}', ['"prompt_token_ids" is 1.5']),
            ('{"prompt": "ab", "max_tokens": 2.5}', ['"max_tokens" is 2.5, it must be a whole number']),
            ('{"prompt": "ab", "temperature": "hot"}', ['"temperature" is "hot", it must be a number']),
            ('{"prompt": "ab", "stop": [1]}', ['"stop" is 1, it must be a string']),
            ('{"prompt": "ab", "seed": -1}', ['"seed" is -1']),
            ('{"messages": []}', ['"messages" is []']),
            ('{"messages": [{"role": "user"}]}', ['"role" and "content"']),
            ('{"prompt": "ab", "a": ' + "[" * 100_000, ["no valid JSON"]),
        ):
            with self.subTest(line=line[:60]):
                source = self.dir / "in.jsonl"
                source.write_text(json.dumps({"prompt": "ab", "max_tokens": 2}) + "\n" + line + "\n")
                self.refuse_run([f'"{source}", line 2: ', *parts], "--input", source)

    def test_token_ids_outside_the_vocabulary(self) -> None:
        for token in (-1, 40):
            source = self.write_jsonl("in.jsonl", [{"prompt_token_ids": [3, token], "max_tokens": 2}])
            self.refuse_run([f"token id {token} is outside the vocabulary, 0 to 39"], "--input", source)

    def test_ids_that_the_tokenizer_lacks_are_never_sampled(self) -> None:
        flags = ["--temperature", "100", "--ignore-eos", "--max-tokens", "60", "--seed", "1", "--json"]
        ids = self.succeed("run", self.build_once(), "ab", *flags).json()["token_ids"]
        self.assertEqual(len(ids), 60)
        self.assertLessEqual(max(ids), 12)

    def test_places_where_results_cannot_go(self) -> None:
        source = self.write_jsonl("in.jsonl", [{"prompt": "ab", "max_tokens": 2}])
        for place, reason in ((self.dir / "no" / "out", "No such file"), (Path("/dev/full"), "No space left")):
            result = self.veloz("run", self.build_once(), "--input", source, "--output", place)
            self.assertEqual(result.code, 1)
            self.assertIn(f'"{place}": {reason}', result.err)


if __name__ == "__main__":
    unittest.main()
