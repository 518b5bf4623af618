// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"

namespace veloz::checkpoint {

enum class Architecture { gptj, llama, qwen2 };
enum class Activation { silu, gelu, gelu_tanh, relu };
enum class RopeStyle { neox, interleaved };
enum class RopeScaling { none, linear, llama3 };

std::string_view to_string(Architecture architecture);

struct RopeConfig {
  RopeStyle style = RopeStyle::neox;
  int64_t rotary_dim = 0;  // even, at most head_dim
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::none;
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 1.0;
  int64_t original_max_position_embeddings = 0;
  /// Where config.json asks for "dynamic" scaling: the positions up to which it changes nothing.
  /// Beyond, results would depend on how a prompt is cut into chunks, so max_position_embeddings
  /// ends here.
  std::optional<int64_t> dynamic_beyond;
};

/// config.json of a model, typed, checked and under this project's names.
struct ModelConfig {
  Architecture architecture = Architecture::llama;
  std::optional<DType> dtype;  // of the checkpoint, where it says
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  double norm_eps = 0;
  Activation activation = Activation::silu;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  RopeConfig rope;
  std::vector<int64_t> eos_token_ids;
  std::optional<int64_t> bos_token_id;
  std::optional<int64_t> pad_token_id;
};

/// Reads a config.json as transformers 4 and 5 write it; absent keys have transformers' defaults.
/// Throws Error(unsupported) for an architecture or feature that is not there (with what is),
/// Error(invalid_input) for a value that cannot be, with its limit, Error(corrupt_data) for what is
/// no JSON.
ModelConfig parse_model_config(std::string_view json);
/// Of a model directory. Throws Error(not_found) where that has no config.json, too.
ModelConfig load_model_config(const std::filesystem::path& model_dir);

}  // namespace veloz::checkpoint
