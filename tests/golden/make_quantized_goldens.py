# SPDX-License-Identifier: Apache-2.0
"""Writes small quantized checkpoints in other people's formats, and what their weights are in floating point.

    python tests/golden/make_quantized_goldens.py make tests/golden/quantized
    python tests/golden/make_quantized_goldens.py decompress DIRECTORY

Each folder of `make` is a model directory with one or two linears, of shapes that divide nothing evenly, and
expected.safetensors: <module>.weight as the format's own library decompresses it. compressed-tensors is that library
itself (0.20.0); its act-order, which that version no longer writes, and ModelOpt, fp8, AWQ and GPTQ follow the
formulas of their repositories, a few lines each below. Versions stand in expected.safetensors' metadata. Seeded: a
second run gives the same bytes.

`decompress` reads a directory that `veloz quantize` wrote in compressed-tensors layout with that library and writes
DIRECTORY/decompressed.safetensors: the proof that others can load it.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compressed_tensors
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationScheme
from safetensors.torch import load_file, save_file

SEED = 20
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 40,
    "max_position_embeddings": 64,
    "dtype": "bfloat16",
}
Q_PROJ = "model.layers.0.self_attn.q_proj"
K_PROJ = "model.layers.1.self_attn.k_proj"
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # AutoAWQ, awq/modules/linear/gemm.py
FP8_MAX = 448.0
Tensors = dict[str, torch.Tensor]


def random_weight(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(SEED + seed)
    weight = torch.randn(rows, columns, generator=generator)
    weight[rows // 2] *= 6  # channels differ
    return weight


def to_fp8(weight: torch.Tensor) -> torch.Tensor:
    return weight.clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)


class Case:
    """A model directory in the making."""

    def __init__(self, quantization: dict[str, Any] | None) -> None:
        self.config = dict(CONFIG)
        if quantization is not None:
            self.config["quantization_config"] = quantization
        self.hf_quant_config: dict[str, Any] | None = None
        self.tensors: Tensors = {"model.norm.weight": torch.ones(64, dtype=torch.bfloat16)}
        self.expected: Tensors = {}

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        (directory / "config.json").write_text(json.dumps(self.config, indent=1) + "\n")
        if self.hf_quant_config is not None:
            (directory / "hf_quant_config.json").write_text(json.dumps(self.hf_quant_config, indent=1) + "\n")
        save_file({k: v.contiguous() for k, v in self.tensors.items()}, directory / "model.safetensors")
        # One entry: the library writes several in any order.
        versions = {"versions": f"torch {torch.__version__}, compressed-tensors {compressed_tensors.__version__}"}
        expected = {k: v.contiguous() for k, v in self.expected.items()}
        save_file(expected, directory / "expected.safetensors", metadata=versions)


# ---- compressed-tensors


def scale_shape(args: dict[str, Any], rows: int, columns: int) -> tuple[int, ...]:
    match args["strategy"]:
        case "tensor":
            return (1,)
        case "channel":
            return (rows, 1)
        case "group":
            return (rows, columns // args["group_size"])
    height, width = args["block_structure"]
    return (-(-rows // height), -(-columns // width))


def spread(scale: torch.Tensor, args: dict[str, Any], rows: int, columns: int) -> torch.Tensor:
    """A scale for each weight."""
    if args["strategy"] == "block":
        height, width = args["block_structure"]
        return scale.repeat_interleave(height, 0)[:rows].repeat_interleave(width, 1)[:, :columns]
    if args["strategy"] == "tensor":
        return scale.expand(rows, columns)
    return scale.repeat_interleave(columns // scale.shape[1], 1)


def amax_by_scale(weight: torch.Tensor, args: dict[str, Any]) -> torch.Tensor:
    shape = scale_shape(args, *weight.shape)
    if args["strategy"] == "tensor":
        return weight.abs().max().reshape(1)
    if args["strategy"] == "block":
        height, width = args["block_structure"]
        return torch.stack(
            [
                torch.stack(
                    [weight[i : i + height, j : j + width].abs().max() for j in range(0, weight.shape[1], width)]
                )
                for i in range(0, weight.shape[0], height)
            ]
        )
    return weight.reshape(shape[0], shape[1], -1).abs().amax(-1)


def compressed_case(
    weights: dict[str, Any],
    inputs: dict[str, Any] | None,
    format: str,
    shape: tuple[int, int],
    dtype: torch.dtype,
    **config: Any,
) -> Case:
    args = {"symmetric": True, "dynamic": False, **weights}
    group = {"targets": ["Linear"], "weights": args, "input_activations": inputs, "output_activations": None}
    case = Case(
        {
            "quant_method": "compressed-tensors",
            "format": format,
            "quantization_status": "compressed",
            "config_groups": {"group_0": group},
            "ignore": ["lm_head"],
            "kv_cache_scheme": None,
            **config,
        }
    )
    weight = random_weight(*shape).to(dtype)
    limit = FP8_MAX if args["type"] == "float" else 2 ** (args["num_bits"] - 1) - 1
    scale = (amax_by_scale(weight.float(), args) / limit).to(dtype)
    state = {"weight": weight, "weight_scale": scale}
    if not args["symmetric"]:
        bound = 2 ** (args["num_bits"] - 1)
        generator = torch.Generator().manual_seed(SEED + 1)
        state["weight_zero_point"] = torch.randint(-bound, bound, scale.shape, generator=generator, dtype=torch.int8)
    scheme = QuantizationScheme(**group)
    compressor = BaseCompressor.get_value_from_registry(format)
    compressed = compressor.compress(state, scheme)
    decompressed = compressor.decompress(compressed, scheme)["weight"]
    if inputs is not None and not inputs["dynamic"]:
        compressed["input_scale"] = torch.tensor([0.03125], dtype=dtype)
    case.tensors |= {f"{Q_PROJ}.{name}": tensor for name, tensor in compressed.items()}
    case.tensors[f"{Q_PROJ}.bias"] = torch.arange(shape[0]).to(dtype)
    case.expected[f"{Q_PROJ}.weight"] = decompressed
    return case


def fp8(**args: Any) -> dict[str, Any]:
    return {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": False, **args}


def integer(bits: int, **args: Any) -> dict[str, Any]:
    return {"num_bits": bits, "type": "int", "symmetric": True, "dynamic": False, **args}


def compressed_fp8_static() -> Case:
    kv_cache = fp8(strategy="tensor")
    case = compressed_case(
        fp8(strategy="tensor"),
        fp8(strategy="tensor"),
        "float-quantized",
        (11, 24),
        torch.bfloat16,
        kv_cache_scheme=kv_cache,
    )
    for layer in range(2):
        case.tensors[f"model.layers.{layer}.self_attn.k_scale"] = torch.tensor([0.5 + layer], dtype=torch.bfloat16)
        case.tensors[f"model.layers.{layer}.self_attn.v_scale"] = torch.tensor([0.25 + layer], dtype=torch.bfloat16)
    return case


def compressed_fp8_dynamic() -> Case:
    token = fp8(strategy="token") | {"dynamic": True}
    return compressed_case(fp8(strategy="channel"), token, "float-quantized", (11, 24), torch.bfloat16)


def compressed_fp8_block() -> Case:
    block = fp8(strategy="block", block_structure=[24, 32])
    group = fp8(strategy="group", group_size=32) | {"dynamic": True}
    return compressed_case(block, group, "float-quantized", (41, 64), torch.bfloat16)


def compressed_int8_dynamic() -> Case:
    token = integer(8, strategy="token") | {"dynamic": True}
    return compressed_case(integer(8, strategy="channel"), token, "int-quantized", (11, 24), torch.bfloat16)


def compressed_int8_static() -> Case:
    return compressed_case(
        integer(8, strategy="channel"), integer(8, strategy="tensor"), "int-quantized", (11, 24), torch.float16
    )


def compressed_int8_naive_asymmetric() -> Case:
    weights = integer(8, strategy="group", group_size=8) | {"symmetric": False}
    return compressed_case(weights, None, "naive-quantized", (11, 24), torch.bfloat16)


def compressed_w4a16() -> Case:
    return compressed_case(
        integer(4, strategy="group", group_size=32), None, "pack-quantized", (11, 64), torch.bfloat16
    )


def compressed_w4a16_asymmetric() -> Case:
    weights = integer(4, strategy="group", group_size=10) | {"symmetric": False}
    return compressed_case(weights, None, "pack-quantized", (13, 30), torch.float16)


def compressed_w8a16() -> Case:
    return compressed_case(integer(8, strategy="channel"), None, "pack-quantized", (11, 26), torch.bfloat16)


def compressed_w8a16_asymmetric() -> Case:
    weights = integer(8, strategy="group", group_size=13) | {"symmetric": False}
    return compressed_case(weights, None, "pack-quantized", (11, 26), torch.float16)


def compressed_w4a8() -> Case:
    token = integer(8, strategy="token") | {"dynamic": True}
    return compressed_case(
        integer(4, strategy="group", group_size=32), token, "int-quantized", (11, 64), torch.bfloat16
    )


def compressed_act_order() -> Case:
    """Columns keep their places; weight_g_idx names the group of each."""
    case = compressed_w4a16()
    generator = torch.Generator().manual_seed(SEED + 2)
    g_idx = torch.randperm(64, generator=generator).div(32, rounding_mode="floor").to(torch.int32)
    scale = case.tensors[f"{Q_PROJ}.weight_scale"]
    packed = case.tensors[f"{Q_PROJ}.weight_packed"]
    codes = torch.stack([(packed >> (4 * i)) & 15 for i in range(8)], -1).reshape(11, 64) - 8
    case.tensors[f"{Q_PROJ}.weight_g_idx"] = g_idx
    case.expected[f"{Q_PROJ}.weight"] = codes.to(scale.dtype) * scale[:, g_idx.long()]
    case.config["quantization_config"]["config_groups"]["group_0"]["weights"]["actorder"] = "group"
    return case


def compressed_mixed() -> Case:
    """Two groups by name and pattern, formats of their own, one module that is ignored."""
    case = compressed_w4a16()
    other = compressed_fp8_dynamic()
    quantization = case.config["quantization_config"]
    first = quantization["config_groups"]["group_0"] | {"targets": [Q_PROJ], "format": "pack-quantized"}
    second = other.config["quantization_config"]["config_groups"]["group_0"]
    second |= {"targets": ["re:.*k_proj$"], "format": "float-quantized"}
    quantization |= {
        "format": "mixed-precision",
        "config_groups": {"group_0": first, "group_1": second},
        "ignore": ["re:.*\\.o_proj", "lm_head"],
    }
    for source, to in ((other.tensors, case.tensors), (other.expected, case.expected)):
        to |= {k.replace(Q_PROJ, K_PROJ): v for k, v in source.items() if k.startswith(Q_PROJ)}
    case.tensors["model.layers.0.self_attn.o_proj.weight"] = random_weight(8, 8).to(torch.bfloat16)
    return case


# ---- ModelOpt: weight / weight_scale, scales in fp32; modelopt/torch/export/quant_utils.py


def modelopt_case(algorithm: str, kv_cache: str | None = None) -> Case:
    case = Case({"quant_method": "modelopt", "quant_algo": algorithm, "ignore": ["lm_head", "model.layers.1*"]})
    case.hf_quant_config = {
        "producer": {"name": "modelopt", "version": "0.39.0"},
        "quantization": {
            "quant_algo": algorithm,
            "kv_cache_quant_algo": kv_cache,
            "exclude_modules": ["lm_head", "model.layers.1*"],
        },
    }
    case.tensors[f"{K_PROJ}.weight"] = random_weight(8, 8).to(torch.bfloat16)
    return case


def add_modelopt_linear(case: Case, codes: torch.Tensor, scale: torch.Tensor) -> None:
    case.tensors |= {f"{Q_PROJ}.weight": codes, f"{Q_PROJ}.weight_scale": scale}
    case.expected[f"{Q_PROJ}.weight"] = codes.float() * (scale[:, None] if scale.dim() == 1 else scale)


def modelopt_fp8() -> Case:
    case = modelopt_case("FP8", "FP8")
    weight = random_weight(11, 24)
    scale = weight.abs().max() / FP8_MAX
    add_modelopt_linear(case, to_fp8(weight / scale), scale)
    case.tensors[f"{Q_PROJ}.input_scale"] = torch.tensor(0.0234375)
    for layer in range(2):
        case.tensors[f"model.layers.{layer}.self_attn.k_proj.k_scale"] = torch.tensor(1.5 + layer)
        case.tensors[f"model.layers.{layer}.self_attn.v_proj.v_scale"] = torch.tensor(1.25 + layer)
    return case


def modelopt_fp8_row_wise() -> Case:
    case = modelopt_case("FP8_PER_CHANNEL_PER_TOKEN")
    weight = random_weight(11, 24)
    scale = weight.abs().amax(1) / FP8_MAX
    add_modelopt_linear(case, to_fp8(weight / scale[:, None]), scale)
    return case


def modelopt_fp8_block() -> Case:
    case = modelopt_case("FP8_PB_WO")
    weight = random_weight(130, 128)
    scale = torch.stack([weight[:128].abs().max(), weight[128:].abs().max()])[:, None] / FP8_MAX
    rows = scale.repeat_interleave(128, 0)[:130]
    codes = to_fp8(weight / rows)
    case.tensors |= {f"{Q_PROJ}.weight": codes, f"{Q_PROJ}.weight_scale": scale.reshape(2, 1, 1, 1)}
    case.expected[f"{Q_PROJ}.weight"] = codes.float() * rows
    return case


def modelopt_int8_smoothquant() -> Case:
    case = modelopt_case("W8A8_SQ_PER_CHANNEL")
    weight = random_weight(11, 24)
    scale = weight.abs().amax(1) / 127
    add_modelopt_linear(case, (weight / scale[:, None]).round().clamp(-128, 127).to(torch.int8), scale)
    case.tensors[f"{Q_PROJ}.input_scale"] = torch.tensor(0.0625)
    return case


# ---- fp8 of DeepSeek-V3 and transformers (weight_scale_inv), and of AutoFP8


def fp8_block() -> Case:
    case = Case(
        {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "fmt": "e4m3",
            "weight_block_size": [128, 128],
            "modules_to_not_convert": ["lm_head"],
        }
    )
    weight = random_weight(140, 256)
    args = {"strategy": "block", "block_structure": [128, 128]}
    scale = amax_by_scale(weight, args) / FP8_MAX
    each = spread(scale, args, 140, 256)
    codes = to_fp8(weight / each)
    case.tensors |= {f"{Q_PROJ}.weight": codes, f"{Q_PROJ}.weight_scale_inv": scale}
    case.expected[f"{Q_PROJ}.weight"] = codes.float() * each
    return case


def fp8_per_tensor(scheme: str) -> Case:
    case = Case({"quant_method": "fp8", "activation_scheme": scheme})
    weight = random_weight(11, 24)
    scale = (weight.abs().max() / FP8_MAX).reshape(1)
    codes = to_fp8(weight / scale)
    case.tensors |= {f"{Q_PROJ}.weight": codes, f"{Q_PROJ}.weight_scale": scale}
    case.expected[f"{Q_PROJ}.weight"] = codes.float() * scale
    if scheme == "static":
        case.tensors[f"{Q_PROJ}.input_scale"] = torch.tensor([0.125])
    return case


# ---- AWQ and GPTQ: codes of K input and N output channels, as [K, N]


def random_codes(bits: int, shape: tuple[int, int], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(SEED + seed)
    return torch.randint(0, 2**bits, shape, generator=generator, dtype=torch.int64)


def random_scales(shape: tuple[int, int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(SEED + 9)
    return (torch.rand(shape, generator=generator) * 0.1 + 0.001).to(torch.float16)


def pack_columns(codes: torch.Tensor, bits: int, order: tuple[int, ...]) -> torch.Tensor:
    """[rows, columns] -> [rows, columns / per_word]: nibble i of a word holds column order[i] of its columns."""
    words = codes.reshape(codes.shape[0], -1, len(order))
    packed = sum(words[:, :, place] << (bits * i) for i, place in enumerate(order))
    return torch.as_tensor(packed).to(torch.uint32).view(torch.int32)


def pack_rows(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """[rows, columns] -> [rows / per_word, columns]."""
    return pack_columns(codes.T.contiguous(), bits, tuple(range(32 // bits))).T


def awq() -> Case:
    case = Case(
        {
            "quant_method": "awq",
            "bits": 4,
            "group_size": 32,
            "zero_point": True,
            "version": "gemm",
            "modules_to_not_convert": None,
        }
    )
    codes, zeros, scales = random_codes(4, (96, 16), 3), random_codes(4, (3, 16), 4), random_scales((3, 16))
    case.tensors |= {
        f"{Q_PROJ}.qweight": pack_columns(codes, 4, AWQ_ORDER),
        f"{Q_PROJ}.qzeros": pack_columns(zeros, 4, AWQ_ORDER),
        f"{Q_PROJ}.scales": scales,
    }
    group = torch.arange(96) // 32
    case.expected[f"{Q_PROJ}.weight"] = ((codes - zeros[group]).to(torch.float16) * scales[group]).T
    return case


def gptq_case(bits: int, *, sym: bool, version: str, act_order: bool = False) -> Case:
    case = Case(
        {
            "quant_method": "gptq",
            "bits": bits,
            "group_size": 32,
            "desc_act": act_order,
            "sym": sym,
            "checkpoint_format": version,
        }
    )
    limit = 2**bits
    codes, scales = random_codes(bits, (96, 16), 5), random_scales((3, 16))
    zeros = torch.full((3, 16), limit // 2) if sym else random_codes(bits, (3, 16), 6)
    g_idx = torch.arange(96) // 32
    if act_order:
        g_idx = g_idx[torch.randperm(96, generator=torch.Generator().manual_seed(SEED + 7))]
    # The first format holds zeros less one, in so many bits; auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py.
    stored = zeros if version == "gptq_v2" else (zeros - 1) % limit
    case.tensors |= {
        f"{Q_PROJ}.qweight": pack_rows(codes, bits),
        f"{Q_PROJ}.qzeros": pack_columns(stored, bits, tuple(range(32 // bits))),
        f"{Q_PROJ}.scales": scales,
        f"{Q_PROJ}.g_idx": g_idx.to(torch.int32),
    }
    case.expected[f"{Q_PROJ}.weight"] = ((codes - zeros[g_idx]).to(torch.float16) * scales[g_idx]).T
    return case


CASES: dict[str, Callable[[], Case]] = {
    "compressed-fp8-static": compressed_fp8_static,
    "compressed-fp8-dynamic": compressed_fp8_dynamic,
    "compressed-fp8-block": compressed_fp8_block,
    "compressed-int8-dynamic": compressed_int8_dynamic,
    "compressed-int8-static": compressed_int8_static,
    "compressed-int8-asymmetric": compressed_int8_naive_asymmetric,
    "compressed-w4a16": compressed_w4a16,
    "compressed-w4a16-asymmetric": compressed_w4a16_asymmetric,
    "compressed-w8a16": compressed_w8a16,
    "compressed-w8a16-asymmetric": compressed_w8a16_asymmetric,
    "compressed-w4a8": compressed_w4a8,
    "compressed-act-order": compressed_act_order,
    "compressed-mixed": compressed_mixed,
    "modelopt-fp8": modelopt_fp8,
    "modelopt-fp8-row-wise": modelopt_fp8_row_wise,
    "modelopt-fp8-block": modelopt_fp8_block,
    "modelopt-int8-smoothquant": modelopt_int8_smoothquant,
    "fp8-block": fp8_block,
    "fp8-static": lambda: fp8_per_tensor("static"),
    "fp8-dynamic": lambda: fp8_per_tensor("dynamic"),
    "awq": awq,
    "gptq": lambda: gptq_case(4, sym=True, version="gptq"),
    "gptq-asymmetric": lambda: gptq_case(4, sym=False, version="gptq"),
    "gptq-v2": lambda: gptq_case(4, sym=False, version="gptq_v2"),
    "gptq-act-order": lambda: gptq_case(4, sym=False, version="gptq", act_order=True),
    "gptq-8-bit": lambda: gptq_case(8, sym=True, version="gptq"),
    "gptq-8-bit-asymmetric": lambda: gptq_case(8, sym=False, version="gptq", act_order=True),
}


def make(out: Path) -> None:
    for name, build in CASES.items():
        if (out / name).exists():
            shutil.rmtree(out / name)
        build().write(out / name)


def decompress(directory: Path) -> None:
    """Each module by the group of the config that names it: no model is needed for that."""
    quantization = json.loads((directory / "config.json").read_text())["quantization_config"]
    tensors: Tensors = {}
    for path in sorted(directory.glob("model*.safetensors")):
        tensors |= load_file(path)
    modules = {name.rsplit(".", 1)[0] for name in tensors if name.endswith(".weight_scale")}
    result: Tensors = {}
    for module in sorted(modules):
        groups = quantization["config_groups"].values()
        group = next(g for g in groups if module in g["targets"] or "Linear" in g["targets"])
        if group["weights"].get("actorder"):
            raise SystemExit(f"{module}: compressed-tensors no longer reads act-order")
        scheme = QuantizationScheme(**{k: v for k, v in group.items() if k != "format"})
        state = {n.rsplit(".", 1)[1]: t for n, t in tensors.items() if n.rsplit(".", 1)[0] == module}
        compressor = BaseCompressor.get_value_from_registry(group.get("format", quantization["format"]))
        result[f"{module}.weight"] = compressor.decompress(state, scheme)["weight"].contiguous()
    save_file(result, directory / "decompressed.safetensors")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make", "decompress"])
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    (make if arguments.action == "make" else decompress)(arguments.directory)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
