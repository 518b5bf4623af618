#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a Llama of 1.1 billion random weights for benchmarks, in the forms the programs compared want.

    python3 bench/peers/make_dummy_model.py build/peer [--tiny] [--context 8192] [--types BF16,Q8_0,Q4_0]

OUT/hf               config.json and tokenizer.json, for `veloz build --load-format dummy`
OUT/model.gguf       the same shape and vocabulary with BF16 weights, for llama.cpp
OUT/model-TYPE.gguf  the same in another type: Q8_0 and Q4_0 are written here, others (Q4_K, IQ4_K) by the program that
                     --llama-quantize names

Every token of the vocabulary is text of its own, so that each one shows in a stream. Needs numpy and gguf (pip install
gguf). --tiny writes a model of a few megabytes, to try the benchmark out.
"""

import argparse
import dataclasses
import itertools
import json
import string
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType as Kind

SEED = 1
SCALE = 0.02  # of the weights, as models are initialised
BOS, EOS = "<s>", "</s>"
FILE_TYPES = {
    Kind.BF16: gguf.LlamaFileType.MOSTLY_BF16,
    Kind.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
    Kind.Q4_0: gguf.LlamaFileType.MOSTLY_Q4_0,
}


@dataclass(frozen=True)
class Shape:
    hidden: int = 2048
    intermediate: int = 5632
    layers: int = 22
    heads: int = 32
    kv_heads: int = 4
    vocab: int = 32000
    context: int = 2048

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


TINY = Shape(hidden=256, intermediate=512, layers=2, heads=4, kv_heads=2)


def byte_level_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in the order of the bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = iter(range(256, 512))
    return [chr(byte if byte in printable else next(shifted)) for byte in range(256)]


def vocabulary(size: int) -> tuple[list[str], list[str]]:
    """Tokens and merges of a byte-level BPE: bytes, pairs of letters and digits, then triples of those."""
    letters = string.ascii_letters + string.digits
    tokens = [BOS, EOS, *byte_level_alphabet()]
    merges = []
    pairs = [a + b for a, b in itertools.product(letters, letters)]
    for token in itertools.chain(pairs, (pair + c for pair, c in itertools.product(pairs, letters))):
        if len(tokens) == size:
            break
        merges.append(f"{token[:-1]} {token[-1]}")
        tokens.append(token)
    return tokens, merges


def write_hugging_face(shape: Shape, tokens: list[str], merges: list[str], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    special = [
        {
            "id": i,
            "content": token,
            "special": True,
            "normalized": False,
            "lstrip": False,
            "rstrip": False,
            "single_word": False,
        }
        for i, token in enumerate([BOS, EOS])
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0",
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges},
    }
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (out / "tokenizer.json").write_text(json.dumps(tokenizer) + "\n")
    (out / "tokenizer_config.json").write_text(json.dumps({"bos_token": BOS, "eos_token": EOS}) + "\n")


def tensor_shapes(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    kv = shape.kv_heads * shape.head_dim
    yield "token_embd.weight", (shape.vocab, shape.hidden)
    for i in range(shape.layers):
        yield f"blk.{i}.attn_norm.weight", (shape.hidden,)
        yield f"blk.{i}.attn_q.weight", (shape.hidden, shape.hidden)
        yield f"blk.{i}.attn_k.weight", (kv, shape.hidden)
        yield f"blk.{i}.attn_v.weight", (kv, shape.hidden)
        yield f"blk.{i}.attn_output.weight", (shape.hidden, shape.hidden)
        yield f"blk.{i}.ffn_norm.weight", (shape.hidden,)
        yield f"blk.{i}.ffn_gate.weight", (shape.intermediate, shape.hidden)
        yield f"blk.{i}.ffn_up.weight", (shape.intermediate, shape.hidden)
        yield f"blk.{i}.ffn_down.weight", (shape.hidden, shape.intermediate)
    yield "output_norm.weight", (shape.hidden,)
    yield "output.weight", (shape.vocab, shape.hidden)


def bf16_bytes(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The upper halves of the floats; where rounding goes does not matter for random ones."""
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    return halves.view(np.uint8)


def encode(values: npt.NDArray[np.float32], kind: Kind) -> npt.NDArray[np.uint8]:
    if kind == Kind.BF16:
        return bf16_bytes(values)
    quantized: npt.NDArray[np.uint8] = gguf.quants.quantize(values, kind)
    return quantized


def write_gguf(shape: Shape, tokens: list[str], merges: list[str], path: Path, kind: Kind) -> None:
    writer = gguf.GGUFWriter(path, "llama", use_temp_file=True)
    writer.add_name("dummy")
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    is_control = [gguf.TokenType.CONTROL] * 2
    writer.add_token_types(is_control + [gguf.TokenType.NORMAL] * (len(tokens) - len(is_control)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
    random = np.random.default_rng(SEED)
    for name, dims in tensor_shapes(shape):
        if len(dims) == 1:
            writer.add_tensor(name, np.ones(dims, np.float32))
            continue
        values = random.standard_normal(dims, np.float32) * np.float32(SCALE)
        writer.add_tensor(name, encode(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Write a dummy model for benchmarks.")
    parser.add_argument("out", type=Path, help="directory to write")
    parser.add_argument("--tiny", action="store_true", help="a model of a few megabytes")
    parser.add_argument("--context", type=int, default=Shape.context, help="positions that it claims to be trained for")
    parser.add_argument("--types", default="BF16", help="of the GGUF files, with commas between")
    parser.add_argument("--llama-quantize", type=Path, help="program that makes what is not written here")
    arguments = parser.parse_args()
    shape = dataclasses.replace(TINY if arguments.tiny else Shape(), context=arguments.context)
    tokens, merges = vocabulary(shape.vocab)
    out: Path = arguments.out
    write_hugging_face(shape, tokens, merges, out / "hf")
    written = [out / "hf"]
    for name in arguments.types.split(","):
        written.append(out / ("model.gguf" if name == "BF16" else f"model-{name}.gguf"))
        if name in Kind.__members__ and Kind[name] in FILE_TYPES:
            write_gguf(shape, tokens, merges, written[-1], Kind[name])
        elif arguments.llama_quantize is None:
            parser.error(f"{name} is not written here: give --llama-quantize, and BF16 before it")
        else:
            subprocess.run([arguments.llama_quantize, out / "model.gguf", written[-1], name], check=True)
    print(f"wrote {', '.join(map(str, written))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
