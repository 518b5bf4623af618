#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Converts the pytorch_model*.bin files of a model directory to safetensors, which `veloz build` reads.

    python3 scripts/convert_bin_to_safetensors.py MODEL_DIR

A .bin file is a Python pickle: it is read with `weights_only`, so that it can hold nothing but tensors. Needs PyTorch
(pip install torch) and nothing else; one shard at a time is in memory. The .bin files stay where they are.
"""

import argparse
import json
import pickle
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

DTYPES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
SINGLE_BIN = "pytorch_model.bin"
BIN_INDEX = "pytorch_model.bin.index.json"
SINGLE_FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ALIGNMENT = 8


class ConvertError(Exception):
    """What is wrong with the input, for people."""


def find_shards(model_dir: Path) -> list[Path]:
    """The .bin files, in order; those that the index names where there is one."""
    if (model_dir / BIN_INDEX).exists():
        weight_map = json.loads((model_dir / BIN_INDEX).read_text())["weight_map"]
        names = sorted(set(weight_map.values()))
        for name in names:
            if Path(name).name != name:
                raise ConvertError(f"{BIN_INDEX} names {name!r}, which is no plain file name")
        return [model_dir / name for name in names]
    if (model_dir / SINGLE_BIN).exists():
        return [model_dir / SINGLE_BIN]
    raise ConvertError(f"{model_dir} has neither {SINGLE_BIN} nor {BIN_INDEX}")


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ConvertError(f"{path} is damaged, or holds more than tensors; it was not converted") from error
    if not isinstance(state, dict):
        raise ConvertError(f"{path} holds a {type(state).__name__}, not a dictionary of tensors")
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise ConvertError(f"tensor {name!r} of {path} has dtype {tensor.dtype}, which cannot be converted")
    return tensors


def raw_bytes(tensor: torch.Tensor) -> memoryview:
    """Of the elements in row-major order: shared and strided tensors are written out in full."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data


def write_safetensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    # Empty tensors (buffers of old versions) have no place in a checkpoint.
    kept = {name: tensor for name, tensor in sorted(tensors.items()) if tensor.numel() > 0}
    offset = 0
    for name, tensor in kept.items():
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in kept.values():
            file.write(raw_bytes(tensor))
    partial.rename(path)


def convert_shards(shards: list[Path], model_dir: Path) -> Iterator[tuple[str, str]]:
    """Writes each shard and yields (tensor, file) of all it holds. A tensor that several shards have is kept once."""
    seen: set[str] = set()
    for number, shard in enumerate(shards, start=1):
        tensors = {name: tensor for name, tensor in load_tensors(shard).items() if name not in seen}
        seen.update(tensors)
        is_single = len(shards) == 1
        name = SINGLE_FILE if is_single else f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_safetensors(tensors, model_dir / name)
        print(f"{shard.name} -> {name}: {len(tensors)} tensors")
        yield from ((tensor, name) for tensor in sorted(tensors) if tensors[tensor].numel() > 0)


def convert(model_dir: Path) -> None:
    for name in (SINGLE_FILE, INDEX):
        if (model_dir / name).exists():
            raise ConvertError(f"{model_dir / name} is there already")
    shards = find_shards(model_dir)
    weight_map = dict(convert_shards(shards, model_dir))
    if len(shards) > 1:
        (model_dir / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="Convert pytorch_model*.bin to safetensors.")
    parser.add_argument("model_dir", type=Path, help="directory that holds pytorch_model.bin or its index")
    arguments = parser.parse_args()
    try:
        convert(arguments.model_dir)
    except (ConvertError, OSError, KeyError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
