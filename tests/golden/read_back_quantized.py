#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads what `veloz quantize` writes with transformers and compressed-tensors, and compares.

    pip install torch transformers compressed-tensors accelerate
    make demo && python3 tests/golden/read_back_quantized.py

For every recipe and bundled model: the mean negative log-likelihood of some text of the model's calibration set, as
transformers has it of the written directory (tokenizer, config and weights) and as `veloz eval` has it. Both compute
in fp32, and round activations where the recipe says so. The original is measured too: how far the two are apart where
nothing is rounded. The cache of transformers stays as it is, whatever a checkpoint says.

Packed weights with zero points are unpacked with compressed-tensors' own compressor instead: transformers 5.24 with
compressed-tensors 0.20 refuses the zero points even of what that library has written.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}

import torch
import transformers
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
GROUPS_OF_32 = ["--group-size", "32"]
RECIPES: dict[str, list[str]] = {
    "fp8": ["fp8"],
    "fp8, fp8 cache": ["fp8", "--kv-cache-dtype", "fp8"],
    "fp8-rowwise": ["fp8-rowwise"],
    "int8": ["int8"],
    "int8-smoothquant": ["int8-smoothquant"],
    "int4": ["int4", *GROUPS_OF_32],
    "int4-tensor": ["int4-tensor"],
    "int4-awq": ["int4-awq", *GROUPS_OF_32],
    "int4-awq, zero points": ["int4-awq", *GROUPS_OF_32, "--asymmetric"],
    "int4-awq, int8 activations": ["int4-awq", *GROUPS_OF_32, "--activations", "int8"],
    "int4-gptq": ["int4-gptq", *GROUPS_OF_32],
    "int4-gptq, whole rows": ["int4-gptq", "--group-size", "0"],
    "auto": ["auto", *GROUPS_OF_32, "--limit", "20"],
}
MAX_TOKENS = 400  # one window of `veloz eval`
ROUNDED_ACTIVATIONS = ("fp8", "int8", "int8 activations")  # how a recipe's name begins or ends
# Nats a token. The two round activations by scales that differ in their last bits, so that codes do too.
MAX_DIFFERENCE = 0.001
MAX_DIFFERENCE_ROUNDED = 0.03


def texts_of(model: Path) -> str:
    """Lines of the calibration set, about MAX_TOKENS of them."""
    words: list[str] = []
    for line in (model / "calib.jsonl").read_text().splitlines():
        item = json.loads(line)
        words += (item.get("text") or item.get("prompt") or item["messages"][0]["content"]).split()
        if len(words) >= MAX_TOKENS // 2:
            break
    return " ".join(words)


def has_zero_points(config: dict[str, Any]) -> bool:
    groups = config.get("quantization_config", {}).get("config_groups", {})
    return any(not group["weights"]["symmetric"] for group in groups.values())


def unpacked_model(directory: Path, fields: dict[str, Any]) -> Any:
    (scheme,) = QuantizationConfig.model_validate(fields.pop("quantization_config")).config_groups.values()
    weights = load_file(directory / "model.safetensors")
    for packed in [name for name in weights if name.endswith(".weight_packed")]:
        module = packed.removesuffix("weight_packed")
        state = {n.removeprefix(module): weights.pop(n) for n in list(weights) if n.startswith(module + "weight_")}
        state["weight_scale"] = state["weight_scale"].float()
        weights[module + "weight"] = PackedQuantizationCompressor.decompress(state, scheme)["weight"]
    config = transformers.AutoConfig.for_model(**fields)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model


def nll_of_transformers(directory: Path, text: str) -> float:
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    config = json.loads((directory / "config.json").read_text())
    if has_zero_points(config):
        model = unpacked_model(directory, config).eval()
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        return float(model(ids, labels=ids).loss)


def nll_of_veloz(veloz: Path, directory: Path, text: Path) -> float:
    command = [veloz, "eval", directory, "--text", text, "--dtype", "fp32", "--json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
    return float(report["text"]["nll"])


def compare(veloz: Path, directory: Path, text: Path) -> tuple[float, float]:
    return nll_of_transformers(directory, text.read_text()), nll_of_veloz(veloz, directory, text)


def main() -> int:
    parser = argparse.ArgumentParser(description="Reads quantized checkpoints with transformers and compares.")
    parser.add_argument("--veloz", type=Path, default=ROOT / "build/release/veloz")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    is_good = True
    for name in ("tiny-llama", "tiny-gptj"):
        model = ROOT / "models" / name
        with tempfile.TemporaryDirectory() as scratch:
            text = Path(scratch) / "text"
            text.write_text(texts_of(model))
            lines = [("original", *compare(arguments.veloz, model, text))]
            for recipe, flags in RECIPES.items():
                written = Path(scratch) / "written"
                command = [arguments.veloz, "quantize", model, "-o", written, "--force", "--num-samples", "16"]
                gate = [] if recipe == "auto" else ["--no-gate"]
                subprocess.run([*command, "--recipe", *flags, *gate], check=True, capture_output=True)
                lines.append((recipe, *compare(arguments.veloz, written, text)))
        print(f"{name:28}{'transformers':>14}{'veloz':>10}{'difference':>12}")
        for recipe, theirs, ours in lines:
            is_rounded = recipe.startswith(ROUNDED_ACTIVATIONS) or recipe.endswith(ROUNDED_ACTIVATIONS)
            is_good &= abs(theirs - ours) <= (MAX_DIFFERENCE_ROUNDED if is_rounded else MAX_DIFFERENCE)
            print(f"{recipe:28}{theirs:14.4f}{ours:10.4f}{ours - theirs:12.4f}", flush=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
