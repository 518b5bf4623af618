# SPDX-License-Identifier: Apache-2.0
"""Gives a trained model the outlier channels that large models have, without changing what it computes.

    python models/train/outliers.py models/tiny-llama

A few channels between two layers are scaled by a power of two where they are made and by its inverse where they are read:
a norm's gain against the columns behind it, rows of v against columns of o, rows of up against columns of down. Every
product stays the same to the bit. Rounding with one scale a tensor then costs what it costs in a large model, and a recipe
that balances channels can win it back. Needs NumPy only; running it twice doubles the outliers.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import weights_file
from numpy.typing import NDArray
from weights_file import Tensors

SHARE = 1 / 16  # of the channels
FACTOR = 4.0  # of columns behind a norm, rows of v and up
LAYERS = (1,)  # the damage of naive rounding grows with each
SEED = 5

Channels = NDArray[np.float32]


def draw(rng: np.random.Generator, count: int) -> Channels:
    """1, or FACTOR for a share of the channels."""
    scales = np.ones(count, dtype=np.float32)
    scales[rng.choice(count, max(1, round(SHARE * count)), replace=False)] = FACTOR
    return scales


def scale_norm(tensors: Tensors, norm: str, readers: list[str], scales: Channels) -> None:
    for name in (norm + ".weight", norm + ".bias"):
        if name in tensors:
            tensors[name] = tensors[name] / scales
    for name in readers:
        tensors[name] = tensors[name] * scales[None, :]


def scale_between(tensors: Tensors, maker: str, reader: str, scales: Channels, group: int, head_dim: int) -> None:
    """`group` heads of the reader's columns read each head of the maker's rows."""
    tensors[maker] = tensors[maker] * scales[:, None]
    columns = np.repeat(scales.reshape(-1, head_dim), group, axis=0).reshape(-1)
    tensors[reader] = tensors[reader] / columns[None, :]


def add_to_llama(tensors: Tensors, config: dict[str, int], rng: np.random.Generator) -> None:
    group = config["num_attention_heads"] // config["num_key_value_heads"]
    hidden, head_dim = config["hidden_size"], config["head_dim"]
    for i in LAYERS:
        layer = f"model.layers.{i}."
        attention, mlp = layer + "self_attn.", layer + "mlp."
        readers = [attention + f"{name}_proj.weight" for name in "qkv"]
        scale_norm(tensors, layer + "input_layernorm", readers, draw(rng, hidden))
        readers = [mlp + "gate_proj.weight", mlp + "up_proj.weight"]
        scale_norm(tensors, layer + "post_attention_layernorm", readers, draw(rng, hidden))
        v, o = attention + "v_proj.weight", attention + "o_proj.weight"
        scale_between(tensors, v, o, draw(rng, tensors[v].shape[0]), group, head_dim)
        up, down = mlp + "up_proj.weight", mlp + "down_proj.weight"
        scale_between(tensors, up, down, draw(rng, tensors[up].shape[0]), 1, 1)


def add_to_gptj(tensors: Tensors, config: dict[str, int], rng: np.random.Generator) -> None:
    hidden = config["n_embd"]
    for i in LAYERS:
        layer = f"transformer.h.{i}."
        readers = [layer + f"attn.{name}_proj.weight" for name in "qkv"] + [layer + "mlp.fc_in.weight"]
        scale_norm(tensors, layer + "ln_1", readers, draw(rng, hidden))
        v, out = layer + "attn.v_proj.weight", layer + "attn.out_proj.weight"
        scale_between(tensors, v, out, draw(rng, hidden), 1, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    folder: Path = parser.parse_args().model
    config = json.loads((folder / "config.json").read_text())
    header, tensors = weights_file.read(folder / "model.safetensors")
    add = add_to_llama if config["model_type"] == "llama" else add_to_gptj
    add(tensors, config, np.random.default_rng(SEED))
    weights_file.write(folder / "model.safetensors", header, tensors)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
