# SPDX-License-Identifier: Apache-2.0
"""A one-layer Llama in Hugging Face layout, written by hand so that any part of it can be wrong."""

import json
import random
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 40,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "dtype": "float32",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SHAPES = {
    "model.embed_tokens.weight": [40, 16],
    "model.layers.0.input_layernorm.weight": [16],
    "model.layers.0.self_attn.q_proj.weight": [16, 16],
    "model.layers.0.self_attn.k_proj.weight": [8, 16],
    "model.layers.0.self_attn.v_proj.weight": [8, 16],
    "model.layers.0.self_attn.o_proj.weight": [16, 16],
    "model.layers.0.post_attention_layernorm.weight": [16],
    "model.layers.0.mlp.gate_proj.weight": [24, 16],
    "model.layers.0.mlp.up_proj.weight": [24, 16],
    "model.layers.0.mlp.down_proj.weight": [16, 24],
    "model.norm.weight": [16],
    "lm_head.weight": [40, 16],
}
LETTERS = "abcdefghij"


def fp32_bytes(values: Iterable[float]) -> bytes:
    return b"".join(struct.pack("<f", value) for value in values)


class TinyCheckpoint:
    """Header entries and data are kept apart, so that either can be changed without the other."""

    def __init__(self) -> None:
        numbers = random.Random(7)
        self.config = dict(CONFIG)
        self.header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        self.data = b""
        for name, shape in SHAPES.items():
            count = shape[0] * (shape[1] if len(shape) > 1 else 1)
            begin = len(self.data)
            self.data += fp32_bytes(numbers.uniform(-0.25, 0.25) for _ in range(count))
            self.header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(self.data)]}

    def safetensors(self) -> bytes:
        text = json.dumps(self.header).encode()
        return struct.pack("<Q", len(text)) + text + self.data

    def write(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(self.config))
        (directory / "model.safetensors").write_bytes(self.safetensors())
        return directory

    def set_element(self, tensor: str, index: int, value: float) -> None:
        at = self.header[tensor]["data_offsets"][0] + 4 * index
        self.data = self.data[:at] + fp32_bytes([value]) + self.data[at + 4 :]


def tokenizer_json() -> str:
    """Byte-level BPE that knows ten letters: ids 13 to 39 of the model are padding."""
    special = ["<pad>", "<s>", "</s>"]
    added = [{"id": i, "content": token, "special": True} for i, token in enumerate(special)]
    vocab = {token: i for i, token in enumerate(special + list(LETTERS))}
    return json.dumps(
        {
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
            "post_processor": None,
            "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": vocab, "merges": []},
        }
    )
