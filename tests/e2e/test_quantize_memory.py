# SPDX-License-Identifier: Apache-2.0
"""`veloz quantize` takes the memory of one layer, not of the model."""

import json
import os
import shutil
import struct
import unittest
from pathlib import Path
from typing import Any

from veloz_cli import MODELS, CliTest

LLAMA = MODELS / "tiny-llama"
TOLERANCE_MB = float(os.environ.get("VELOZ_MEMORY_TOLERANCE_MB", "40"))
HIDDEN = 512
FFN = 2048
VOCAB = 1024  # of the tokenizer
LAYER_SHAPES = {
    "input_layernorm": [HIDDEN],
    "self_attn.q_proj": [HIDDEN, HIDDEN],
    "self_attn.k_proj": [HIDDEN, HIDDEN],
    "self_attn.v_proj": [HIDDEN, HIDDEN],
    "self_attn.o_proj": [HIDDEN, HIDDEN],
    "post_attention_layernorm": [HIDDEN],
    "mlp.gate_proj": [FFN, HIDDEN],
    "mlp.up_proj": [FFN, HIDDEN],
    "mlp.down_proj": [HIDDEN, FFN],
}
TO_SIGN = bytes(0x3C | (byte & 0x80) for byte in range(256))


def small_bf16(count: int) -> bytes:
    """Random numbers from 0.0078 to 0.03, of both signs."""
    data = bytearray(2 * count)
    data[0::2] = os.urandom(count)
    data[1::2] = os.urandom(count).translate(TO_SIGN)
    return bytes(data)


def write_llama(directory: Path, num_layers: int) -> int:
    """Bytes of its weights. A tensor at a time: what a child is said to have used is at least what this process did."""
    shutil.copytree(LLAMA, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((LLAMA / "config.json").read_text())
    config |= {"hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": num_layers}
    config |= {"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64}
    (directory / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens.weight": [VOCAB, HIDDEN], "model.norm.weight": [HIDDEN]}
    for layer in range(num_layers):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in LAYER_SHAPES.items()}
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with (directory / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for entry in header.values():
            begin, stop = entry["data_offsets"]
            file.write(small_bf16((stop - begin) // 2))
    return end


class QuantizeMemoryTest(CliTest):
    def peak_mb(self, model: Path) -> float:
        command: list[str | Path] = [
            "quantize",
            model,
            "-o",
            self.dir / "out",
            "--force",
            "--recipe",
            "int8",
            "--no-gate",
        ]
        log = self.dir / "log"
        with log.open("w") as file:
            process = self.start(*command, "--num-samples", "8", "--max-length", "96", stdout=file, stderr=file)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0, log.read_text())
        return usage.ru_maxrss / 1024

    def test_more_layers_take_no_more(self) -> None:
        few, many = self.dir / "few", self.dir / "many"
        more_weights = (write_llama(many, 12) - write_llama(few, 2)) / 2**20
        more = self.peak_mb(many) - self.peak_mb(few)
        self.assertLess(more, TOLERANCE_MB, f"MB, of {more_weights:.0f} more of weights")


if __name__ == "__main__":
    unittest.main()
