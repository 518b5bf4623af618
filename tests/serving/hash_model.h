// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace veloz::serving {

/// A made-up language model: its logits are a hash of the whole sequence, so one wrong token
/// anywhere changes everything. tests/golden/beam/make_beam_golden.py computes the same ones.
struct HashModel {
  uint32_t seed = 1;
  int32_t vocab_size = 50;
  float scale = 4;      // logits are uniform in [0, scale)
  float eos_boost = 0;  // added to those of eos_token_ids
  std::vector<int32_t> eos_token_ids;

  static uint32_t mix(uint32_t word) {  // the finaliser of MurmurHash3
    word = (word ^ (word >> 16)) * 0x85EBCA6Bu;
    word = (word ^ (word >> 13)) * 0xC2B2AE35u;
    return word ^ (word >> 16);
  }

  std::vector<float> logits(std::span<const int32_t> tokens) const {
    uint32_t state = seed;
    for (const int32_t token : tokens) state = mix(state * 31 + static_cast<uint32_t>(token) + 1);
    std::vector<float> row(static_cast<size_t>(vocab_size));
    for (size_t id = 0; id < row.size(); ++id) {
      const uint32_t word = mix(state + static_cast<uint32_t>(id) * 0x9E3779B1u);
      row[id] = static_cast<float>(word >> 8) * (scale * 0x1p-24f);
    }
    for (const int32_t id : eos_token_ids) row[static_cast<size_t>(id)] += eos_boost;
    return row;
  }
};

}  // namespace veloz::serving
