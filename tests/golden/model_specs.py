# SPDX-License-Identifier: Apache-2.0
"""The tiny random checkpoints of make_model_goldens.py: awkward sizes, one trait of each architecture at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 64}


@dataclass(frozen=True)
class Spec:
    """One checkpoint: how it is configured and stored."""

    name: str
    family: str  # gptj, llama or qwen2
    config: dict[str, Any]
    dtype: str = "float32"  # of the stored weights; the goldens are computed in fp32 from them
    num_shards: int = 1  # at least
    config_style: int = 5  # the major version of transformers whose config.json is written
    beam_cases: str = "full"  # or "short"
    notes: str = field(default="", kw_only=True)


def llama(vocab_size: int, heads: int, kv_heads: int, **more: Any) -> dict[str, Any]:
    """The common part: hidden_size is a multiple of the heads, as transformers demands, but not by head_dim."""
    return {"vocab_size": vocab_size, "hidden_size": 11 * heads, "intermediate_size": 67, "num_hidden_layers": 2,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": 24, "rms_norm_eps": 1e-5,
            "max_position_embeddings": 512, "tie_word_embeddings": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, **more}


def qwen2(vocab_size: int, heads: int, kv_heads: int, **more: Any) -> dict[str, Any]:
    return {"vocab_size": vocab_size, "hidden_size": 48, "intermediate_size": 53, "num_hidden_layers": 2,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "rms_norm_eps": 1e-6,
            "max_position_embeddings": 512, "use_sliding_window": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}, **more}


SPECS: tuple[Spec, ...] = (
    Spec("gptj", "gptj",
         {"vocab_size": 131, "n_positions": 512, "n_embd": 48, "n_layer": 2, "n_head": 2, "rotary_dim": 10, "n_inner": 101},
         notes="head_dim 24, partial rotary of 10, odd n_inner"),
    Spec("gptj-f16", "gptj",
         {"vocab_size": 203, "n_positions": 512, "n_embd": 72, "n_layer": 2, "n_head": 3, "rotary_dim": 24, "n_inner": None},
         dtype="float16", config_style=4, beam_cases="short",
         notes="3 heads, rotary over the whole head, n_inner by default 4 * n_embd, F16"),
    Spec("llama-mha", "llama", llama(131, 3, 3), notes="as many KV heads as heads, odd hidden_size"),
    Spec("llama-gqa-bf16", "llama",
         llama(1003, 6, 3, tie_word_embeddings=True,
               rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}),
         dtype="bfloat16", notes="3 KV heads, vocab 1003, tied embeddings, linear rope scaling, BF16"),
    Spec("llama-rope3-bias", "llama",
         llama(131, 4, 2, attention_bias=True, mlp_bias=True, rope_parameters=LLAMA3_ROPE), config_style=4,
         notes="llama3 rope scaling, biases in attention and MLP, config.json as transformers 4 writes it"),
    Spec("llama-mqa-sharded", "llama", llama(149, 4, 1), num_shards=3, beam_cases="short",
         notes="one KV head, several shards with an index"),
    Spec("qwen2", "qwen2", qwen2(1003, 2, 1, tie_word_embeddings=True), dtype="bfloat16",
         notes="q, k, v biases, vocab 1003, tied embeddings, BF16"),
    Spec("qwen2-gqa", "qwen2", qwen2(131, 6, 3, tie_word_embeddings=False), config_style=4, beam_cases="short",
         notes="head_dim 8, 3 KV heads, untied"),
)
