# SPDX-License-Identifier: Apache-2.0
"""A small Llama quantized into the formats of others, in plain Python by their documented formulas, and the same model
with its weights dequantized."""

import bisect
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_checkpoint import fp32_bytes, tokenizer_json

HIDDEN, INTERMEDIATE, VOCAB, GROUP = 64, 128, 40, 32
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": VOCAB,
    "max_position_embeddings": 64,
    "dtype": "float32",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LAYER = "model.layers.0."
LINEARS = {
    LAYER + "self_attn.q_proj": (HIDDEN, HIDDEN),
    LAYER + "self_attn.k_proj": (HIDDEN // 2, HIDDEN),
    LAYER + "self_attn.v_proj": (HIDDEN // 2, HIDDEN),
    LAYER + "self_attn.o_proj": (HIDDEN, HIDDEN),
    LAYER + "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
    LAYER + "mlp.up_proj": (INTERMEDIATE, HIDDEN),
    LAYER + "mlp.down_proj": (HIDDEN, INTERMEDIATE),
}
FP8_VALUES = [(code & 7) * 2.0**-9 if code < 8 else (8 + (code & 7)) * 2.0 ** ((code >> 3) - 10) for code in range(127)]
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
Tensor = tuple[str, list[int], bytes]  # dtype, shape, data
Matrix = list[list[float]]
Codes = list[list[int]]


def to_fp8(value: float) -> int:
    """The nearest code, the even one of two."""
    magnitude = min(abs(value), FP8_VALUES[-1])
    above = bisect.bisect_left(FP8_VALUES, magnitude)
    below = max(above - 1, 0)
    gap_below, gap_above = magnitude - FP8_VALUES[below], FP8_VALUES[above] - magnitude
    code = below if gap_below < gap_above or (gap_below == gap_above and below % 2 == 0) else above
    return code | (0x80 if value < 0 else 0)


def from_fp8(code: int) -> float:
    return FP8_VALUES[code & 0x7F] * (-1 if code & 0x80 else 1)


def half(value: float) -> float:
    return float(struct.unpack("<e", struct.pack("<e", value))[0])


def half_bytes(values: Matrix) -> bytes:
    return b"".join(struct.pack("<e", value) for row in values for value in row)


def word_bytes(words: Codes) -> bytes:
    return b"".join(struct.pack("<I", word) for row in words for word in row)


def pack(row: list[int], bits: int, order: tuple[int, ...] | None = None) -> list[int]:
    """Codes of a row in words: place i of a word, the lowest first, holds code order[i] of its codes."""
    order = order or tuple(range(32 // bits))
    return [
        sum(row[begin + place] << (bits * i) for i, place in enumerate(order))
        for begin in range(0, len(row), len(order))
    ]


def transposed(rows: Any) -> Any:
    return [list(column) for column in zip(*rows, strict=True)]


@dataclass
class Quantized:
    codes: Codes  # unsigned of 4 bits and of GPTQ's 8, signed int8, or bits of fp8
    scales: Matrix  # [row][group]
    zeros: Codes  # of unsigned codes
    group_of: list[int]  # by column
    weight: Matrix  # dequantized


def quantize(
    weight: Matrix, bits: int | None, block: tuple[int, int], *, asymmetric: bool = False, act_order: bool = False
) -> Quantized:
    """With one scale for each block of rows and columns, in fp16; bits None is fp8."""
    rows, columns = len(weight), len(weight[0])
    height, width = min(block[0], rows), min(block[1], columns)
    group_of = [k // width for k in range(columns)]
    if act_order:
        random.Random(3).shuffle(group_of)
    limit = 448.0 if bits is None else 2.0 ** (bits - 1) - 1
    scales = [[0.0] * (columns // width) for _ in range(rows)]
    for n in range(rows):
        for g in range(columns // width):
            begin = n // height * height
            block_rows = weight[begin : begin + height]
            scales[n][g] = half(
                max(abs(row[k]) for row in block_rows for k in range(columns) if group_of[k] == g) / limit
            )
    middle = 0 if bits is None else 2 ** (bits - 1)
    zeros = [[middle - (n + g) % 3 if asymmetric else middle for g in range(columns // width)] for n in range(rows)]
    result = Quantized([], scales, zeros, group_of, [])
    for n in range(rows):
        steps = [weight[n][k] / scales[n][group_of[k]] for k in range(columns)]
        if bits is None:
            codes = [to_fp8(step) for step in steps]
            values = [from_fp8(code) for code in codes]
        else:
            codes = [min(max(round(step) + zeros[n][group_of[k]], 0), 2**bits - 1) for k, step in enumerate(steps)]
            values = [float(code - zeros[n][group_of[k]]) for k, code in enumerate(codes)]
        result.codes.append(codes)
        result.weight.append([value * scales[n][group_of[k]] for k, value in enumerate(values)])
    return result


def fp32_scales(values: Matrix, shape: list[int]) -> Tensor:
    return ("F32", shape, fp32_bytes(value for row in values for value in row))


def plain_codes(q: Quantized, dtype: str) -> Tensor:
    offset = 128 if dtype == "I8" else 0
    data = bytes((code - offset) & 0xFF for row in q.codes for code in row)
    return (dtype, [len(q.codes), len(q.codes[0])], data)


def fixed_fp8(q: Quantized) -> dict[str, Tensor]:
    return {
        "weight": plain_codes(q, "F8_E4M3"),
        "weight_scale": ("F32", [], fp32_bytes([q.scales[0][0]])),
        "input_scale": ("F32", [], fp32_bytes([0.02])),
    }


def per_channel(q: Quantized, dtype: str) -> dict[str, Tensor]:
    return {"weight": plain_codes(q, dtype), "weight_scale": fp32_scales(q.scales, [len(q.scales), 1])}


def block_fp8(q: Quantized) -> dict[str, Tensor]:
    scales = q.scales[::GROUP]
    return {
        "weight": plain_codes(q, "F8_E4M3"),
        "weight_scale_inv": fp32_scales(scales, [len(scales), len(scales[0])]),
    }


def pack_quantized(q: Quantized, *, has_zeros: bool) -> dict[str, Tensor]:
    rows, columns = len(q.codes), len(q.codes[0])
    tensors = {
        "weight_packed": ("I32", [rows, columns // 8], word_bytes([pack(row, 4) for row in q.codes])),
        "weight_shape": ("I64", [2], struct.pack("<qq", rows, columns)),
        "weight_scale": ("F16", [rows, len(q.scales[0])], half_bytes(q.scales)),
    }
    if has_zeros:
        words = transposed([pack(column, 4) for column in transposed(q.zeros)])
        tensors["weight_zero_point"] = ("I32", [rows // 8, len(q.scales[0])], word_bytes(words))
    return tensors


def awq(q: Quantized) -> dict[str, Tensor]:
    rows, columns, groups = len(q.codes), len(q.codes[0]), len(q.scales[0])
    words = [pack(column, 4, AWQ_ORDER) for column in transposed(q.codes)]
    zeros = [pack(column, 4, AWQ_ORDER) for column in transposed(q.zeros)]
    return {
        "qweight": ("I32", [columns, rows // 8], word_bytes(words)),
        "qzeros": ("I32", [groups, rows // 8], word_bytes(zeros)),
        "scales": ("F16", [groups, rows], half_bytes(transposed(q.scales))),
    }


def gptq(q: Quantized, bits: int) -> dict[str, Tensor]:
    """The first format: zeros less one."""
    rows, columns, groups = len(q.codes), len(q.codes[0]), len(q.scales[0])
    words = transposed([pack(row, bits) for row in q.codes])
    zeros = [pack([zero - 1 for zero in column], bits) for column in transposed(q.zeros)]
    return {
        "qweight": ("I32", [columns * bits // 32, rows], word_bytes(words)),
        "qzeros": ("I32", [groups, rows * bits // 32], word_bytes(zeros)),
        "scales": ("F16", [groups, rows], half_bytes(transposed(q.scales))),
        "g_idx": ("I32", [columns], word_bytes([q.group_of])),
    }


def compressed(format: str, weights: dict[str, Any], inputs: dict[str, Any] | None) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs, "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": format,
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }


@dataclass(frozen=True)
class Format:
    config: dict[str, Any]
    quantize: Callable[[Matrix], Quantized]
    store: Callable[[Quantized], dict[str, Tensor]]
    is_weight_only: bool = False


ROW = (1, 1 << 20)
TENSOR = (1 << 20, 1 << 20)
TOKEN = {"num_bits": 8, "strategy": "token", "dynamic": True}
GPTQ = {"quant_method": "gptq", "group_size": GROUP, "desc_act": False, "sym": True}
GROUP_4_BIT = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": GROUP}
FORMATS: dict[str, Format] = {
    "modelopt-fp8": Format(
        {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head*"]},
        lambda w: quantize(w, None, TENSOR),
        fixed_fp8,
    ),
    "compressed-fp8": Format(
        compressed(
            "float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}, TOKEN | {"type": "float"}
        ),
        lambda w: quantize(w, None, ROW),
        lambda q: per_channel(q, "F8_E4M3"),
    ),
    "compressed-int8": Format(
        compressed("int-quantized", {"num_bits": 8, "type": "int", "strategy": "channel"}, TOKEN | {"type": "int"}),
        lambda w: quantize(w, 8, ROW),
        lambda q: per_channel(q, "I8"),
    ),
    "compressed-w4a16": Format(
        compressed("pack-quantized", GROUP_4_BIT, None),
        lambda w: quantize(w, 4, (1, GROUP)),
        lambda q: pack_quantized(q, has_zeros=False),
        is_weight_only=True,
    ),
    "compressed-w4a16-asymmetric": Format(
        compressed("pack-quantized", GROUP_4_BIT | {"symmetric": False}, None),
        lambda w: quantize(w, 4, (1, GROUP), asymmetric=True),
        lambda q: pack_quantized(q, has_zeros=True),
        is_weight_only=True,
    ),
    "compressed-w4a8": Format(
        compressed("pack-quantized", GROUP_4_BIT, TOKEN | {"type": "int"}),
        lambda w: quantize(w, 4, (1, GROUP)),
        lambda q: pack_quantized(q, has_zeros=False),
    ),
    "fp8-block": Format(
        {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [GROUP, GROUP]},
        lambda w: quantize(w, None, (GROUP, GROUP)),
        block_fp8,
    ),
    "awq": Format(
        {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"},
        lambda w: quantize(w, 4, (1, GROUP), asymmetric=True),
        awq,
        is_weight_only=True,
    ),
    "gptq": Format(GPTQ | {"bits": 4}, lambda w: quantize(w, 4, (1, GROUP)), lambda q: gptq(q, 4), is_weight_only=True),
    "gptq-act-order": Format(
        GPTQ | {"bits": 4, "sym": False, "desc_act": True},
        lambda w: quantize(w, 4, (1, GROUP), asymmetric=True, act_order=True),
        lambda q: gptq(q, 4),
        is_weight_only=True,
    ),
    "gptq-8-bit": Format(
        GPTQ | {"bits": 8}, lambda w: quantize(w, 8, (1, GROUP)), lambda q: gptq(q, 8), is_weight_only=True
    ),
}


def write_model(directory: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    header: dict[str, Any] = {}
    data = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    directory.mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer.json").write_text(tokenizer_json())
    return directory


def write_quantized(directory: Path, format: Format) -> tuple[Path, Path]:
    """The model quantized, and the same with dequantized fp32 weights."""
    numbers = random.Random(11)

    def matrix(rows: int, columns: int) -> Matrix:
        return [[numbers.uniform(-0.4, 0.4) for _ in range(columns)] for _ in range(rows)]

    shared: dict[str, Tensor] = {
        name: fp32_scales(matrix(VOCAB, HIDDEN), [VOCAB, HIDDEN])
        for name in ("model.embed_tokens.weight", "lm_head.weight")
    }
    for name in (LAYER + "input_layernorm", LAYER + "post_attention_layernorm", "model.norm"):
        shared[name + ".weight"] = ("F32", [HIDDEN], fp32_bytes([1.0] * HIDDEN))
    quantized, dense = dict(shared), dict(shared)
    for module, (rows, columns) in LINEARS.items():
        q = format.quantize(matrix(rows, columns))
        quantized |= {f"{module}.{part}": tensor for part, tensor in format.store(q).items()}
        dense[module + ".weight"] = fp32_scales(q.weight, [rows, columns])
    config = CONFIG | {"quantization_config": format.config}
    return write_model(directory / "quantized", config, quantized), write_model(directory / "dense", CONFIG, dense)
