# SPDX-License-Identifier: Apache-2.0
"""Writes rope.json: rotary inverse frequencies and angles as transformers computes them on a CPU.

Run with torch and transformers installed:  python make_rope_golden.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import LlamaConfig
from transformers.models.gptj.modeling_gptj import create_sinusoidal_positions
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

POSITIONS = [0, 1, 2, 63, 511, 2047, 8191, 131071]

LLAMA3 = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LLAMA_CASES: list[tuple[int, float, dict[str, Any]]] = [
    (64, 10000.0, {"rope_type": "default"}),
    (24, 10000.0, {"rope_type": "default"}),
    (128, 1000000.0, {"rope_type": "default"}),
    (64, 10000.0, {"rope_type": "linear", "factor": 2.5}),
    (128, 500000.0, {**LLAMA3, "factor": 8.0}),
    (64, 500000.0, {**LLAMA3, "factor": 32.0}),
    (24, 10000.0, {**LLAMA3, "factor": 3.0, "original_max_position_embeddings": 64}),
]
GPTJ_ROTARY_DIMS = [64, 16]


def bits(values: torch.Tensor) -> list[int]:
    """Floats as the integers of their bits, so that nothing is lost in text."""
    return [v & 0xFFFFFFFF for v in values.to(torch.float32).view(torch.int32).flatten().tolist()]


def llama_case(head_dim: int, theta: float, rope: dict[str, Any]) -> dict[str, Any]:
    config = LlamaConfig(
        hidden_size=head_dim,
        num_attention_heads=1,
        head_dim=head_dim,
        max_position_embeddings=131072,
        rope_parameters={**rope, "rope_theta": theta},
    )
    module = LlamaRotaryEmbedding(config)
    positions = torch.tensor([POSITIONS])
    cos, sin = module(torch.zeros(1, 1, head_dim), positions)
    half = head_dim // 2
    return {
        "model": "llama",
        "rotary_dim": head_dim,
        "theta": theta,
        "rope": rope,
        "inv_freq_bits": bits(module.inv_freq),
        "cos_bits": bits(cos[0, :, :half]),
        "sin_bits": bits(sin[0, :, :half]),
    }


def gptj_case(rotary_dim: int) -> dict[str, Any]:
    table = create_sinusoidal_positions(max(POSITIONS) + 1, rotary_dim)[POSITIONS]
    half = rotary_dim // 2
    return {
        "model": "gptj",
        "rotary_dim": rotary_dim,
        "theta": 10000.0,
        "rope": {"rope_type": "default"},
        "inv_freq_bits": [],
        "cos_bits": bits(table[:, half:]),
        "sin_bits": bits(table[:, :half]),
    }


def main() -> int:
    golden = {
        "made_by": "make_rope_golden.py",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "positions": POSITIONS,
        "cases": [llama_case(*case) for case in LLAMA_CASES]
        + [gptj_case(rotary_dim) for rotary_dim in GPTJ_ROTARY_DIMS],
    }
    path = Path(__file__).with_name("rope.json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
