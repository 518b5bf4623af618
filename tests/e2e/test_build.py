# SPDX-License-Identifier: Apache-2.0
"""`veloz build`, the engine cache and `veloz inspect`: engines that are whole, and the same everywhere."""

import json
import unittest

from tiny_checkpoint import TinyCheckpoint
from veloz_cli import MODELS, TIMEOUT_S, CliTest, bundled_models, files_of

DOCTOR_KEYS = {
    "libraries",
    "why_no_gpu",
    "why_no_cublaslt",
    "version",
    "cpu",
    "features",
    "isa",
    "threads",
    "memory_bytes",
    "memory_available_bytes",
    "devices",
}
GREEDY = ["--num-beams", "1", "--temperature", "0", "--ignore-eos", "--max-tokens", "8"]


class BuildTest(CliTest):
    def test_says_what_it_built(self) -> None:
        engine = self.dir / "engine"
        result = self.succeed("build", MODELS / "tiny-gptj", "-o", engine)
        self.assertRegex(result.out, r"^built .*engine: [\d,]+ parameters, .* of weights, in ")
        result = self.succeed("build", MODELS / "tiny-gptj", "-o", self.dir / "other", "--json")
        self.assertEqual(set(result.json()), {"engine", "weight_bytes", "num_parameters", "seconds", "warnings"})

    def test_same_input_gives_the_same_bytes(self) -> None:
        first = self.build(MODELS / "tiny-gptj", "first", "--threads", "1")
        second = self.build(MODELS / "tiny-gptj", "second", "--threads", "3")
        self.assertEqual(files_of(first), files_of(second))

    def test_shards_and_links_give_the_engine_of_the_one_file(self) -> None:
        checkpoint = TinyCheckpoint()
        whole = self.build(checkpoint.write(self.dir / "a" / "tiny"), "whole")
        cache = self.dir / "b" / "tiny"
        blobs = self.dir / "b" / "blobs"
        blobs.mkdir(parents=True)
        cache.mkdir()
        names = [name for name in checkpoint.header if name != "__metadata__"]
        weight_map = {}
        for number, part in enumerate((names[:5], names[5:]), start=1):
            shard = TinyCheckpoint()
            begin = checkpoint.header[part[0]]["data_offsets"][0]
            shard.data = checkpoint.data[begin : checkpoint.header[part[-1]]["data_offsets"][1]]
            shard.header = {}
            for name in part:
                entry = dict(checkpoint.header[name])
                entry["data_offsets"] = [offset - begin for offset in entry["data_offsets"]]
                shard.header[name] = entry
                weight_map[name] = f"model-{number:05}-of-00002.safetensors"
            (blobs / str(number)).write_bytes(shard.safetensors())
            (cache / weight_map[part[0]]).symlink_to(f"../blobs/{number}")
        (cache / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        (cache / "config.json").write_text(json.dumps(checkpoint.config))
        self.assertEqual(files_of(self.build(cache, "sharded")), files_of(whole))

    def test_dummy_weights_need_no_files_and_depend_on_their_seed(self) -> None:
        model = TinyCheckpoint().write(self.dir / "model")
        (model / "model.safetensors").unlink()
        engines = [
            self.build(model, f"engine{i}", "--load-format", "dummy", "--seed", seed)
            for i, seed in enumerate(("1", "1", "2"))
        ]
        files = [files_of(engine)["weights.safetensors"] for engine in engines]
        self.assertEqual(files[0], files[1])
        self.assertNotEqual(files[0], files[2])

    def test_every_target_runs_on_this_machine(self) -> None:
        texts = set()
        for target in ("cpu", "cpu:portable", "cpu:avx2", "cpu:avx512"):
            engine = self.build(MODELS / "tiny-gptj", target.replace(":", "-"), "--target", target)
            texts.add(self.succeed("run", engine, "The team", "--isa", "portable", *GREEDY).out)
        self.assertEqual(len(texts), 1)

    def test_force_replaces(self) -> None:
        engine = self.build(MODELS / "tiny-gptj")
        before = files_of(engine)
        self.succeed("build", TinyCheckpoint().write(self.dir / "model"), "-o", engine, "--force")
        self.assertNotEqual(files_of(engine), before)
        self.succeed("inspect", engine, "--verify")

    def test_nan_weights_are_a_warning_and_fail_only_what_meets_them(self) -> None:
        checkpoint = TinyCheckpoint()
        checkpoint.set_element("lm_head.weight", 7, float("nan"))
        engine = self.dir / "engine"
        result = self.succeed("build", checkpoint.write(self.dir / "model"), "-o", engine)
        self.assertIn('warning: tensor "lm_head.weight" has 1 NaN and 0 infinite values', result.err)
        source = self.write_jsonl("in.jsonl", [{"prompt_token_ids": [3, 4], "max_tokens": 2}])
        result = self.veloz("run", engine, "--input", source)
        self.assertEqual(result.code, 1)
        self.assertIn("NaN", json.loads(result.out)["error"]["message"])
        self.assertIn("step 1", json.loads(result.out)["error"]["message"])


class CacheTest(CliTest):
    def test_a_model_directory_is_built_once_and_reused(self) -> None:
        model = MODELS / "tiny-gptj"
        first = self.succeed("run", model, "The team", *GREEDY)
        cache = self.dir / "cache" / "veloz" / "engines"
        self.assertIn(f"built {model} into {cache}", first.err)
        second = self.succeed("run", model, "The team", *GREEDY)
        self.assertNotIn("built", second.err)
        self.assertEqual(first.out, second.out)
        engines = [path for path in cache.iterdir() if path.is_dir()]
        self.assertEqual(len(engines), 1)
        self.assertTrue(engines[0].name.startswith("tiny-gptj-"))
        # Another dtype is another engine.
        self.assertIn("built", self.succeed("run", model, "The team", "--dtype", "fp32", *GREEDY).err)
        quantized = self.succeed("run", model, "The team", "--kv-cache-dtype", "fp8", *GREEDY)
        self.assertIn("built", quantized.err)
        self.assertIn("warning: the checkpoint has no scales for an fp8 KV cache", quantized.err)

    def test_two_builders_share_one_build(self) -> None:
        runs = [self.start("run", MODELS / "tiny-gptj", "The team", *GREEDY) for _ in range(2)]
        results = [run.communicate(timeout=TIMEOUT_S) for run in runs]
        self.assertEqual([run.returncode for run in runs], [0, 0], results)
        self.assertEqual(results[0][0], results[1][0])
        self.assertEqual(sum("built " in err for _, err in results), 1)

    def test_cache_dir_flag_and_home(self) -> None:
        self.succeed("run", MODELS / "tiny-gptj", "x", "--cache-dir", self.dir / "here", *GREEDY)
        self.assertTrue(list((self.dir / "here").glob("tiny-gptj-*/engine.json")))
        home = {"XDG_CACHE_HOME": "", "HOME": str(self.dir / "home")}
        self.succeed("run", MODELS / "tiny-gptj", "x", *GREEDY, env=home)
        self.assertTrue(list((self.dir / "home/.cache/veloz/engines").glob("tiny-gptj-*/engine.json")))
        self.fail_with(
            2,
            ["XDG_CACHE_HOME", "HOME", "--cache-dir"],
            *("run", MODELS / "tiny-gptj", "x"),
            env={"XDG_CACHE_HOME": "", "HOME": ""},
        )


class InspectTest(CliTest):
    def test_every_bundled_model_can_be_looked_into(self) -> None:
        for model in bundled_models():
            with self.subTest(model=model.name):
                engine = self.build(model, model.name)
                summary = self.succeed("inspect", engine).out
                for part in (
                    "engine",
                    "format",
                    "source",
                    "target",
                    "limits",
                    "memory",
                    "passes",
                    "kernels",
                    model.name,
                ):
                    self.assertIn(part, summary)
                self.assertIn("paged_attention(", self.succeed("inspect", engine, "--graph").out)
                passes = self.succeed("inspect", engine, "--passes").out
                for part in ("fuse_qkv", "= rope_append(", "left alone", "  - ", "  + "):
                    self.assertIn(part, passes)
                self.assertIn("@layers.0.attn.qkv", self.succeed("inspect", engine, "--weights").out)
                self.assertIn("linear/", self.succeed("inspect", engine, "--steps").out)
                self.assertEqual(self.succeed("inspect", engine, "--verify").out, "all checksums match\n")

    def test_json_has_stable_keys(self) -> None:
        report = self.succeed("inspect", self.gptj_engine(), "--json").json()
        self.assertEqual(set(report), {"engine", "manifest", "memory", "layouts", "kernels", "graph"})
        self.assertEqual(set(report["layouts"][0]), {"weight", "layout", "reason"})
        self.assertEqual(report["manifest"]["format_version"].split(".")[0], "1")


class DoctorTest(CliTest):
    def test_quick_report(self) -> None:
        report = self.succeed("doctor", "--quick", "--json").json()
        self.assertEqual(set(report), DOCTOR_KEYS)
        text = self.succeed("doctor", "--quick").out
        for part in ("cpu ", "isa ", "memory ", "devices ", report["isa"]):
            self.assertIn(part, text)

    def test_full_report_measures_the_machine(self) -> None:
        report = self.succeed("doctor", "--json").json()
        self.assertEqual(set(report), DOCTOR_KEYS | {"dram_read_gb_per_s", "peak_gop_per_s"})
        self.assertGreater(report["dram_read_gb_per_s"], 0)
        self.assertTrue(all(rate > 0 for rate in report["peak_gop_per_s"].values()))


if __name__ == "__main__":
    unittest.main()
