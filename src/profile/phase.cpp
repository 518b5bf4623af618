// SPDX-License-Identifier: Apache-2.0
#include "profile/phase.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::profile {
namespace {

int64_t blocks_per_sequence(const Phase& phase, const engine::Limits& limits) {
  return ceil_div(phase.kv_len(), limits.block_size);
}

struct Demand {
  int64_t value;
  int64_t limit;
  const char* what;
  const char* flag;
};

void require(const Phase& phase, const Demand& demand) {
  if (demand.value > demand.limit)
    throw Error(
        ErrorKind::invalid_input,
        fmt::format("{}: {} {} exceed the {} that the engine was built for", describe(phase),
                    demand.value, demand.what, demand.limit),
        fmt::format("ask for less, or build the engine with {} {}", demand.flag, demand.value));
}

}  // namespace

std::string_view to_string(Phase::Kind kind) {
  return kind == Phase::Kind::prefill ? "prefill" : "decode";
}

std::string describe(const Phase& phase) {
  if (phase.kind == Phase::Kind::prefill)
    return fmt::format("prefill, {} tokens", phase.new_tokens);
  return fmt::format("decode, {} sequence{} at context {}", phase.batch_size,
                     phase.batch_size == 1 ? "" : "s", phase.context);
}

int64_t num_kv_blocks(const Phase& phase, const engine::Limits& limits) {
  return phase.batch_size * blocks_per_sequence(phase, limits);
}

void check_phase(const Phase& phase, const engine::Limits& limits) {
  if (phase.batch_size < 1 || phase.new_tokens < 1 || phase.context < 0)
    throw Error(ErrorKind::invalid_input,
                fmt::format("{}: there is nothing to run", describe(phase)),
                "batch sizes and --prefill are 1 or more, --context 0 or more");
  require(phase, {phase.batch_size, limits.max_num_seqs, "sequences", "--max-num-seqs"});
  require(phase, {phase.num_tokens(), limits.max_num_batched_tokens, "tokens of a step",
                  "--max-num-batched-tokens"});
  require(phase,
          {phase.kv_len(), limits.max_model_len, "positions of a sequence", "--max-model-len"});
}

runtime::Batch make_batch(const Phase& phase, const engine::Limits& limits, int64_t vocab_size) {
  constexpr int64_t kStride = 7919;  // a prime: neighbours are different rows of the embedding
  runtime::Batch batch;
  batch.blocks_per_seq = blocks_per_sequence(phase, limits);
  for (int64_t s = 0; s < phase.batch_size; ++s) {
    const int64_t first_block = s * batch.blocks_per_seq;
    batch.q_starts.push_back(narrow<int32_t>(batch.num_tokens()));
    batch.q_lens.push_back(narrow<int32_t>(phase.new_tokens));
    batch.kv_lens.push_back(narrow<int32_t>(phase.kv_len()));
    for (int64_t i = 0; i < phase.new_tokens; ++i) {
      const int64_t position = phase.context + i;
      batch.tokens.push_back(narrow<int32_t>(batch.num_tokens() * kStride % vocab_size));
      batch.positions.push_back(narrow<int32_t>(position));
      batch.slots.push_back(first_block * limits.block_size + position);
    }
    for (int64_t block = 0; block < batch.blocks_per_seq; ++block)
      batch.block_tables.push_back(narrow<int32_t>(first_block + block));
    batch.logit_rows.push_back(narrow<int32_t>(batch.num_tokens() - 1));
  }
  return batch;
}

}  // namespace veloz::profile
