# SPDX-License-Identifier: Apache-2.0
"""Malformed model directories: each is refused with exit code 2, a message and a hint, and no engine is left."""

import json
import os
import struct
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_checkpoint import TinyCheckpoint, tokenizer_json
from veloz_cli import CliTest

NORM = "model.norm.weight"
HEAD = "lm_head.weight"
INDEX = "model.safetensors.index.json"


class BadModelTest(CliTest):
    def setUp(self) -> None:
        super().setUp()
        self.model = self.dir / "model"
        self.weights = self.model / "model.safetensors"

    def refuse(self, parts: list[str]) -> None:
        self.fail_with(2, parts, "build", self.model, "-o", self.dir / "engine")
        self.assertEqual([path.name for path in self.dir.iterdir() if "engine" in path.name], [])

    def refuse_header(self, change: Callable[[dict[str, Any]], object], parts: list[str]) -> None:
        checkpoint = TinyCheckpoint()
        change(checkpoint.header)
        checkpoint.write(self.model)
        self.refuse([str(self.model), *parts])

    def refuse_config(self, changes: dict[str, Any], parts: list[str]) -> None:
        checkpoint = TinyCheckpoint()
        checkpoint.config |= changes
        checkpoint.write(self.model)
        self.refuse(["config.json", *parts])

    def refuse_index(self, file: str, parts: list[str]) -> None:
        TinyCheckpoint().write(self.model)
        (self.weights).rename(self.model / "model-00001-of-00001.safetensors")
        (self.model / INDEX).write_text(json.dumps({"weight_map": {NORM: file}}))
        self.refuse([INDEX, *parts])

    def test_truncated_file(self) -> None:
        TinyCheckpoint().write(self.model)
        for size in (0, 5, 100, self.weights.stat().st_size - 1):
            os.truncate(self.weights, min(size, self.weights.stat().st_size))
            self.refuse([str(self.weights), "download it again"])
            TinyCheckpoint().write(self.model)

    def test_header_length_of_2_to_the_60(self) -> None:
        TinyCheckpoint().write(self.model)
        self.weights.write_bytes(struct.pack("<Q", 1 << 60) + self.weights.read_bytes()[8:])
        self.refuse(["the header claims 1152921504606846976 bytes", "100000000", "download it again"])

    def test_overlapping_offsets(self) -> None:
        def overlap(header: dict[str, Any]) -> None:
            begin, end = header[HEAD]["data_offsets"]
            header[HEAD]["data_offsets"] = [begin - 4, end - 4]

        self.refuse_header(overlap, [HEAD, "inside the one before it"])

    def test_offsets_out_of_range(self) -> None:
        def move(header: dict[str, Any]) -> None:
            header[HEAD]["data_offsets"] = [1 << 40, (1 << 40) + 2560]

        self.refuse_header(move, [HEAD, "[1099511627776, 1099511630336)", "bytes of data"])

    def test_duplicate_tensor(self) -> None:
        checkpoint = TinyCheckpoint()
        checkpoint.write(self.model)
        text = json.dumps(checkpoint.header).replace(f'"{HEAD}"', f'"{NORM}"').encode()
        self.weights.write_bytes(struct.pack("<Q", len(text)) + text + checkpoint.data)
        self.refuse([f'tensor "{NORM}" stands twice'])

    def test_dims_that_overflow_64_bits(self) -> None:
        self.refuse_header(
            lambda header: header[HEAD].update(shape=[1 << 33, 1 << 33]), [HEAD, "[8589934592, 8589934592]", "64 bits"]
        )

    def test_zero_extent(self) -> None:
        self.refuse_header(lambda header: header[HEAD].update(shape=[0, 16]), [HEAD, "zero extent"])

    def test_dtype_that_is_no_weight(self) -> None:
        self.refuse_header(lambda header: header[HEAD].update(dtype="F7"), [HEAD, '"F7"', "F32, F16 or BF16"])
        checkpoint = TinyCheckpoint()
        checkpoint.header[HEAD]["dtype"] = "I32"
        checkpoint.write(self.model)
        self.refuse([HEAD, "int32", "weights are F32, F16 or BF16", "convert the checkpoint"])

    def test_wrong_shape(self) -> None:
        checkpoint = TinyCheckpoint()
        checkpoint.header[HEAD]["shape"] = [16, 40]
        checkpoint.write(self.model)
        self.refuse([HEAD, "has shape [16, 40], config.json asks for [40, 16]", "same revision"])

    def test_missing_tensor(self) -> None:
        checkpoint = TinyCheckpoint()
        checkpoint.header["other"] = checkpoint.header.pop(HEAD)
        checkpoint.write(self.model)
        self.refuse([f'tensor "{HEAD}" is missing', "incomplete"])

    def test_header_that_nests_deep(self) -> None:
        TinyCheckpoint().write(self.model)
        text = b'{"a":' + b"[" * 100_000
        self.weights.write_bytes(struct.pack("<Q", len(text)) + text)
        self.refuse(['"a" is a list, it must be an object'])

    def test_absurd_configurations(self) -> None:
        self.refuse_config({"hidden_size": 1 << 60}, ['"hidden_size" is 1152921504606846976', "from 1 to 1048576"])
        self.refuse_config({"num_hidden_layers": 0}, ['"num_hidden_layers" is 0', "from 1 to 4096"])
        self.refuse_config({"num_attention_heads": -2}, ['"num_attention_heads" is -2', "from 1 to 16384"])
        self.refuse_config({"vocab_size": "40"}, ['"vocab_size" is "40"', "a whole number"])
        self.refuse_config({"rms_norm_eps": 2}, ['"rms_norm_eps" is 2', "from 1e-20 to 1"])
        self.refuse_config({"num_attention_heads": 3}, ['"hidden_size" 16 is not a multiple', "3"])

    def test_what_is_not_supported(self) -> None:
        known = "GPTJForCausalLM, LlamaForCausalLM, Qwen2ForCausalLM"
        self.refuse_config({"architectures": ["BertModel"]}, ['architecture "BertModel" is not supported', known])
        self.refuse_config({"quantization_config": {"quant_method": "bitsandbytes"}}, ['"bitsandbytes"', "awq, gptq"])
        self.refuse_config(
            {"quantization_config": {"quant_method": "awq"}}, ["says awq", 'no module has a tensor "qweight"']
        )
        self.refuse_config({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, ['"yarn"', "default, linear, llama3"])
        self.refuse_config({"hidden_act": "mish"}, ['"mish"', "silu"])
        self.refuse_config({"dtype": "float8"}, ['"float8"', "float32, float16, bfloat16"])

    def test_configuration_that_is_none(self) -> None:
        TinyCheckpoint().write(self.model)
        config = self.model / "config.json"
        for text, parts in (
            ("{", ["no valid JSON at byte 2"]),
            ('{"a":' + "[" * 100_000, ["deeper than 64 levels"]),
            ("[]", ["no JSON object"]),
            (" " * (17 << 20), ["17.00 MiB, at most 16.00 MiB"]),
        ):
            config.write_text(text)
            self.refuse(["config.json", *parts])
        config.unlink()
        self.refuse(["has no config.json", "Hugging Face layout"])
        config.mkdir()
        self.refuse(["config.json", "is a directory"])

    def test_index_that_leads_elsewhere(self) -> None:
        for name in ("../other/model.safetensors", "/etc/passwd", "sub/model.safetensors", ".."):
            self.refuse_index(name, [f'is said to be in "{name}", which is no plain file name', "its own directory"])

    def test_index_and_shards_that_disagree(self) -> None:
        self.refuse_index("model-00001-of-00001.safetensors", ["not in the index", "same revision"])

    def test_shard_that_is_missing_or_a_directory(self) -> None:
        TinyCheckpoint().write(self.model)
        self.weights.unlink()
        (self.model / INDEX).write_text(json.dumps({"weight_map": {NORM: "shard.safetensors"}}))
        self.refuse(["shard.safetensors", "is missing", "fetch the model again"])
        (self.model / "shard.safetensors").mkdir()
        self.refuse(["shard.safetensors", "is a directory, not a regular file"])
        (self.model / "shard.safetensors").rmdir()
        (self.model / "shard.safetensors").symlink_to("../blobs/gone")
        self.refuse(["shard.safetensors", 'a link to "../blobs/gone", which does not exist'])

    def test_pytorch_pickle(self) -> None:
        TinyCheckpoint().write(self.model)
        self.weights.rename(self.model / "pytorch_model.bin")
        self.refuse(["pytorch_model.bin", "it was not read", f"scripts/convert_bin_to_safetensors.py {self.model}"])
        script = Path(__file__).parents[2] / "scripts" / "convert_bin_to_safetensors.py"
        self.assertTrue(script.is_file())

    def test_directory_without_weights(self) -> None:
        TinyCheckpoint().write(self.model)
        self.weights.unlink()
        self.refuse(["has no weights", "--load-format dummy"])

    def test_path_that_is_no_model(self) -> None:
        self.refuse([f'"{self.model}" does not exist', "Hugging Face layout"])
        self.model.write_text("x")
        self.refuse(["is no directory", "not a file of it"])

    def test_generation_config_with_absurd_values(self) -> None:
        TinyCheckpoint().write(self.model)
        (self.model / "generation_config.json").write_text('{"top_p": 7}')
        self.refuse(["generation_config.json", '"top_p" is 7', "check"])

    def test_tokenizer_that_is_damaged(self) -> None:
        TinyCheckpoint().write(self.model)
        text = tokenizer_json()
        for damaged in (text[: len(text) // 2], "[]", text.replace("BPE", "Unigram")):
            (self.model / "tokenizer.json").write_text(damaged)
            self.refuse(["tokenizer.json"])


if __name__ == "__main__":
    unittest.main()
