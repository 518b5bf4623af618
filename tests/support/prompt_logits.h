// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "api/backend.h"
#include "engine/engine.h"
#include "runtime/session.h"

/// Logits of an engine, to be held against those of a golden file.
namespace veloz::test {

using Tokens = std::vector<int32_t>;

inline std::vector<float> decode_floats(const std::string& base64) {
  static const std::string kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int num_bits = 0;
  for (const char c : base64) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(kAlphabet.find(c));
    num_bits += 6;
    if (num_bits >= 8) {
      num_bits -= 8;
      bytes.push_back(static_cast<char>(bits >> num_bits & 0xff));
    }
  }
  std::vector<float> floats(bytes.size() / sizeof(float));
  std::memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
  return floats;
}

/// A step of the prompt alone: logits of the rows asked for, [rows, vocab_size].
inline std::vector<float> prompt_logits(const std::filesystem::path& directory,
                                        const std::string& isa, const Tokens& prompt,
                                        const std::vector<int32_t>& rows) {
  const engine::Engine engine = engine::Engine::open(directory);
  const api::Backend backend = api::open_cpu(isa, 2);
  constexpr int32_t kFirstBlock = 3;
  const auto block_size = static_cast<int32_t>(engine.plan().limits.block_size);
  const auto num_blocks = static_cast<int32_t>(prompt.size()) / block_size + 1;
  runtime::Session session(engine, *backend.device, *backend.registry, *backend.pool,
                           {.num_kv_blocks = kFirstBlock + num_blocks});
  runtime::Batch batch;
  const auto length = static_cast<int32_t>(prompt.size());
  batch.tokens = prompt;
  for (int32_t i = 0; i < length; ++i) {
    batch.positions.push_back(i);
    batch.slots.push_back(kFirstBlock * block_size + i);
  }
  batch.logit_rows = rows;
  batch.q_starts = {0};
  batch.q_lens = {length};
  batch.kv_lens = {length};
  for (int32_t i = 0; i < num_blocks; ++i) batch.block_tables.push_back(kFirstBlock + i);
  batch.blocks_per_seq = num_blocks;
  const TensorView logits = session.run(batch);
  const float* const values = logits.as<float>();
  return {values, values + logits.shape.num_elements()};
}

inline std::vector<int32_t> all_rows(const Tokens& prompt) {
  std::vector<int32_t> rows(prompt.size());
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

/// The largest difference, in units of the largest logit: the relative error in the maximum norm.
inline float relative_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  if (actual.size() != expected.size()) return std::numeric_limits<float>::infinity();
  float largest = 0;
  float worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(actual[i])) return std::numeric_limits<float>::infinity();
    largest = std::max(largest, std::abs(expected[i]));
    worst = std::max(worst, std::abs(actual[i] - expected[i]));
  }
  return worst / largest;
}

}  // namespace veloz::test
