# SPDX-License-Identifier: Apache-2.0
"""A bundled model with its linears rounded to 4 bits, one scale a tensor, as models/train/naive_int4.py does it with
NumPy: what every gate must notice."""

import array
import json
import shutil
import struct
from pathlib import Path

LINEARS = ("_proj.weight", "mlp.fc_in.weight", "mlp.fc_out.weight")  # not the embedding, not lm_head
LEVELS = 7


def to_float(bits: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<I", bits << 16))[0]
    return value


def to_bf16(value: float) -> int:
    """Round to nearest, ties to even; the value is finite."""
    bits: int = struct.unpack("<I", struct.pack("<f", value))[0]
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def round_tensor(values: "array.array[int]") -> "array.array[int]":
    """bf16 bits of the nearest of -7 s ... 7 s, where 7 s is the largest magnitude."""
    distinct = set(values)
    scale = max(abs(to_float(bits)) for bits in distinct) / LEVELS
    table = {bits: to_bf16(round(to_float(bits) / scale) * scale) for bits in distinct}
    return array.array("H", map(table.__getitem__, values))


def write_naive_int4(model: Path, out: Path) -> Path:
    out.mkdir()
    for file in model.iterdir():
        if file.is_file() and file.name != "model.safetensors":
            shutil.copyfile(file, out / file.name)
    content = bytearray((model / "model.safetensors").read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    for name, entry in header.items():
        if not name.endswith(LINEARS):
            continue
        assert entry["dtype"] == "BF16", name
        first, end = (begin + offset for offset in entry["data_offsets"])
        content[first:end] = round_tensor(array.array("H", bytes(content[first:end]))).tobytes()
    (out / "model.safetensors").write_bytes(content)
    return out
