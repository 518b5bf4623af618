# SPDX-License-Identifier: Apache-2.0
"""Writes the logits of tiny-llama with its linears quantized as Veloz defines it, computed with NumPy and transformers.

    python tests/golden/make_rounded_golden.py models/tiny-llama tests/golden/rounded/tiny-llama.json

Everything but the linears runs in fp32 as transformers has it. A linear's codes and scales are made by the formulas
below, from the checkpoint's weights and, in W8A8 and W4A8, from each row of its input; their products are summed in
fp64. The file holds base64 of little-endian fp32: the logits after each prompt, per scheme ("none": as they are).
"""

import argparse
import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

Floats = NDArray[np.float32]
NUM_PROMPTS = 2
FP8_MAX = np.float32(448)


@dataclass(frozen=True)
class Scheme:
    weight: str  # int8, fp8, int4
    group: int = 0  # columns that share a scale; 0: the row
    activation: str = ""  # int8, fp8, or as they are
    quantizes_head: bool = False


SCHEMES = {
    "int8": Scheme("int8", activation="int8"),
    "int8, lm_head int8": Scheme("int8", activation="int8", quantizes_head=True),
    "int8-a16": Scheme("int8"),
    "fp8": Scheme("fp8", activation="fp8"),
    "fp8-block": Scheme("fp8", group=128, activation="fp8"),
    "fp8-a16": Scheme("fp8"),
    "int4": Scheme("int4", group=32, activation="int8"),
    "int4-g128": Scheme("int4", group=128, activation="int8"),
    "int4-a16": Scheme("int4", group=128),
}


def round_fp8(values: Floats) -> Floats:
    return torch.from_numpy(values).to(torch.float8_e4m3fn).float().numpy()


def in_groups(values: Floats, group: int) -> Floats:
    """[N, K] -> [N, G, K / G]"""
    rows, columns = values.shape
    return values.reshape(rows, -1, group or columns)


def quantize_activations(x: Floats, activation: str, group: int) -> NDArray[np.float64]:
    """What the codes of x stand for: one scale per row, or per group of a row."""
    parts = in_groups(x, group if activation == "fp8" else 0)
    limit = np.float32(127) if activation == "int8" else FP8_MAX
    amax = np.abs(parts).max(axis=2, keepdims=True)
    inverse = np.divide(limit, amax, out=np.zeros_like(amax), where=amax > 0)
    scaled = np.clip(parts * inverse, -limit, limit)
    codes = np.rint(scaled) if activation == "int8" else round_fp8(scaled)
    scales = amax / limit
    return (codes.astype(np.float64) * scales.astype(np.float64)).reshape(x.shape)


def quantize_weights(w: Floats, scheme: Scheme) -> NDArray[np.float64]:
    """What the codes of w stand for."""
    parts = in_groups(w, scheme.group)
    amax = np.abs(parts).max(axis=2, keepdims=True)
    if scheme.weight == "int8":
        scales = amax / np.float32(127)
        codes = np.rint(np.clip(parts / scales, -127, 127))
    elif scheme.weight == "fp8":
        scales = amax / FP8_MAX
        codes = round_fp8(np.clip(parts / scales, -FP8_MAX, FP8_MAX))
    else:
        scales = (amax / np.float32(7)).astype(np.float16).astype(np.float32)
        codes = np.clip(np.rint(parts / scales) + 8, 0, 15) - 8
    return (codes.astype(np.float64) * scales.astype(np.float64)).reshape(w.shape)


class QuantizedLinear(torch.nn.Module):
    def __init__(self, linear: torch.nn.Linear, scheme: Scheme) -> None:
        super().__init__()
        self.scheme = scheme
        self.weight = quantize_weights(linear.weight.detach().numpy(), scheme)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.detach().numpy().reshape(-1, x.shape[-1])
        seen = rows.astype(np.float64)
        if self.scheme.activation:
            seen = quantize_activations(rows, self.scheme.activation, self.scheme.group)
        y = (seen @ self.weight.T).astype(np.float32)
        return torch.from_numpy(y.reshape(*x.shape[:-1], -1))


def load(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()


def quantized(folder: Path, scheme: Scheme) -> Any:
    model = load(folder)
    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear) or (name == "lm_head" and not scheme.quantizes_head):
            continue
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, QuantizedLinear(module, scheme))
    return model


def last_logits(model: Any, prompts: list[list[int]]) -> str:
    with torch.no_grad():
        rows = [model(torch.tensor([ids])).logits[0, -1] for ids in prompts]
    return base64.b64encode(torch.stack(rows).float().numpy().astype("<f4").tobytes()).decode()


def read_prompts(folder: Path) -> list[list[int]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    items = [json.loads(line) for line in (folder / "eval.jsonl").read_text().splitlines()[:NUM_PROMPTS]]
    texts = [tokenizer.apply_chat_template(item["messages"], tokenize=False, add_generation_prompt=True)
             for item in items]
    return [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    prompts = read_prompts(arguments.model)
    logits = {"none": last_logits(load(arguments.model), prompts)}
    for name, scheme in SCHEMES.items():
        logits[name] = last_logits(quantized(arguments.model, scheme), prompts)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
    fields = {**versions, "prompts": prompts}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items()]
    entries = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in logits.items()]
    lines.append('"logits": {\n' + ",\n".join(entries) + "\n}")
    arguments.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
