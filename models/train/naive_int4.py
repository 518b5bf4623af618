# SPDX-License-Identifier: Apache-2.0
"""Copies a model with its linears rounded to 4 bits, one scale a tensor: what a careless quantizer would do.

    python models/train/naive_int4.py models/tiny-llama /tmp/tiny-llama-int4

The evaluation sets must notice the damage; README.md of each model records by how much. Needs NumPy only.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import weights_file
from numpy.typing import NDArray

LINEARS = ("_proj.weight", "mlp.fc_in.weight", "mlp.fc_out.weight")  # not the embedding, not lm_head


def round_to_int4(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest of the 15 values -7*s ... 7*s, where 7*s is the largest magnitude of the tensor."""
    scale = np.float32(np.abs(weights).max() / 7)
    return (np.clip(np.rint(weights / scale), -7, 7) * scale).astype(np.float32)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for file in sorted(arguments.model.iterdir()):
        if file.is_file() and file.name != "model.safetensors":
            shutil.copyfile(file, arguments.out / file.name)
    header, tensors = weights_file.read(arguments.model / "model.safetensors")
    linears = [name for name in tensors if name.endswith(LINEARS)]
    for name in linears:
        tensors[name] = round_to_int4(tensors[name])
    weights_file.write(arguments.out / "model.safetensors", header, tensors)
    print(f"{len(linears)} linears rounded to 4 bits in {arguments.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
