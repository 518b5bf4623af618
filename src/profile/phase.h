// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/plan.h"
#include "runtime/batch.h"

namespace veloz::profile {

/// A step worth looking at: `batch_size` equal sequences, each with `new_tokens` behind `context`
/// positions that are in the cache.
struct Phase {
  enum class Kind : uint8_t { prefill, decode };

  Kind kind = Kind::decode;
  int64_t batch_size = 1;
  int64_t new_tokens = 1;  // of each sequence; 1 where it decodes
  int64_t context = 0;     // positions before them; 0 of a prefill

  static Phase prefill(int64_t num_tokens) {
    return {.kind = Kind::prefill, .new_tokens = num_tokens};
  }
  static Phase decode(int64_t batch_size, int64_t context) {
    return {.batch_size = batch_size, .context = context};
  }
  int64_t num_tokens() const { return batch_size * new_tokens; }
  int64_t kv_len() const { return context + new_tokens; }
  bool operator==(const Phase&) const = default;
};

std::string_view to_string(Phase::Kind kind);
/// "prefill, 512 tokens", "decode, 4 sequences at context 256".
std::string describe(const Phase& phase);

/// Blocks of the cache that the phase's sequences take.
int64_t num_kv_blocks(const Phase& phase, const engine::Limits& limits);

/// Throws Error(invalid_input) where a step of the engine cannot be this one, with the limit.
void check_phase(const Phase& phase, const engine::Limits& limits);

/// The step: tokens are any ids below `vocab_size`, blocks follow each other, and the last token
/// of each sequence wants logits.
runtime::Batch make_batch(const Phase& phase, const engine::Limits& limits, int64_t vocab_size);

}  // namespace veloz::profile
