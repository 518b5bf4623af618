# SPDX-License-Identifier: Apache-2.0
"""Copies a model with its linears rounded to 4 bits, one scale a tensor: what a careless quantizer would do.

    python models/train/naive_int4.py models/tiny-llama /tmp/tiny-llama-int4

The evaluation sets must notice the damage; README.md of each model records by how much. Needs NumPy only.
"""

import argparse
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINEARS = ("_proj.weight", "mlp.fc_in.weight", "mlp.fc_out.weight")  # not the embedding, not lm_head


def from_bf16(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (codes.astype(np.uint32) << 16).view(np.float32)


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Rounds to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def round_to_int4(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest of the 15 values -7*s ... 7*s, where 7*s is the largest magnitude of the tensor."""
    scale = np.float32(np.abs(weights).max() / 7)
    return (np.clip(np.rint(weights / scale), -7, 7) * scale).astype(np.float32)


def damage(source: Path, target: Path) -> int:
    """Writes the copy and returns the number of tensors that were rounded."""
    data = bytearray(source.read_bytes())
    (header_bytes,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(data[8 : 8 + header_bytes])
    count = 0
    for name, tensor in header.items():
        if not name.endswith(LINEARS):
            continue
        if tensor["dtype"] != "BF16":
            raise SystemExit(f'tensor "{name}" is {tensor["dtype"]}, this script reads BF16')
        begin, end = (8 + header_bytes + offset for offset in tensor["data_offsets"])
        weights = from_bf16(np.frombuffer(bytes(data[begin:end]), dtype=np.uint16))
        data[begin:end] = to_bf16(round_to_int4(weights)).tobytes()
        count += 1
    target.write_bytes(data)
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for file in sorted(arguments.model.iterdir()):
        if file.is_file() and file.name != "model.safetensors":
            shutil.copyfile(file, arguments.out / file.name)
    count = damage(arguments.model / "model.safetensors", arguments.out / "model.safetensors")
    print(f"{count} linears rounded to 4 bits in {arguments.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
