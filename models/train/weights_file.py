# SPDX-License-Identifier: Apache-2.0
"""Reads and writes a bf16 model.safetensors with NumPy alone."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[np.float32]]
Header = dict[str, Any]


def from_bf16(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (codes.astype(np.uint32) << 16).view(np.float32)


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Rounds to nearest, ties to even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def read(path: Path) -> tuple[Header, Tensors]:
    """The header, and every tensor in fp32."""
    data = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", data[:8])
    header: Header = json.loads(data[8 : 8 + header_bytes])
    tensors: Tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "BF16":
            raise SystemExit(f'tensor "{name}" is {entry["dtype"]}, this script reads BF16')
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        codes = np.frombuffer(data[begin:end], dtype=np.uint16)
        tensors[name] = from_bf16(codes).reshape(entry["shape"])
    return header, tensors


def write(path: Path, header: Header, tensors: Tensors) -> None:
    """Tensors in the places that the header of `read` gives them."""
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = bytearray(max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"))
    for name, values in tensors.items():
        begin, end = header[name]["data_offsets"]
        data[begin:end] = to_bf16(values).tobytes()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
