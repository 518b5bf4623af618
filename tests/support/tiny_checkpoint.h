// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/checkpoint_files.h"

namespace veloz::test {

/// A one-layer Llama of random weights in Hugging Face layout, to be damaged by tests.
struct TinyCheckpoint {
  nlohmann::json config = nlohmann::json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 40,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "dtype": "float32",
    "bos_token_id": 1, "eos_token_id": 2})");
  std::vector<FileTensor> tensors;

  TinyCheckpoint() {
    const std::string layer = "model.layers.0.";
    add("model.embed_tokens.weight", {40, 16});
    add(layer + "input_layernorm.weight", {16});
    add(layer + "self_attn.q_proj.weight", {16, 16});
    add(layer + "self_attn.k_proj.weight", {8, 16});
    add(layer + "self_attn.v_proj.weight", {8, 16});
    add(layer + "self_attn.o_proj.weight", {16, 16});
    add(layer + "post_attention_layernorm.weight", {16});
    add(layer + "mlp.gate_proj.weight", {24, 16});
    add(layer + "mlp.up_proj.weight", {24, 16});
    add(layer + "mlp.down_proj.weight", {16, 24});
    add("model.norm.weight", {16});
    add("lm_head.weight", {40, 16});
  }

  FileTensor& tensor(std::string_view name) {
    return *std::ranges::find(tensors, name, &FileTensor::name);
  }
  void write(const std::filesystem::path& dir) const {
    std::filesystem::create_directories(dir);
    write_bytes(dir / "config.json", config.dump());
    write_bytes(dir / "model.safetensors", safetensors_bytes(tensors));
  }

 private:
  void add(std::string name, std::vector<int64_t> shape) {
    int64_t count = 1;
    for (const int64_t extent : shape) count *= extent;
    std::vector<float> values(static_cast<size_t>(count));
    // Any numbers will do, so long as they differ: an LCG, scaled to about +-0.25.
    for (float& value : values) {
      state_ = state_ * 1664525 + 1013904223;
      value = static_cast<float>(state_ >> 8) / 33554432.0f - 0.25f;
    }
    tensors.push_back(fp32_tensor(std::move(name), std::move(shape), values));
  }
  uint32_t state_ = 1;
};

}  // namespace veloz::test
