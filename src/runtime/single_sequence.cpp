// SPDX-License-Identifier: Apache-2.0
#include "runtime/single_sequence.h"

#include <algorithm>
#include <numeric>

#include "base/numeric.h"

namespace veloz::runtime {

Batch single_sequence_batch(std::span<const int32_t> tokens, int64_t begin, int64_t end,
                            int64_t first_logit, int64_t block_size) {
  const auto count = static_cast<size_t>(end - begin);
  Batch batch;
  batch.tokens.assign(tokens.begin() + begin, tokens.begin() + end);
  batch.positions.resize(count);
  std::iota(batch.positions.begin(), batch.positions.end(), narrow<int32_t>(begin));
  batch.slots.resize(count);
  std::iota(batch.slots.begin(), batch.slots.end(), begin);
  batch.q_starts = {0};
  batch.q_lens = {narrow<int32_t>(end - begin)};
  batch.kv_lens = {narrow<int32_t>(end)};
  batch.blocks_per_seq = ceil_div(end, block_size);
  batch.block_tables.resize(static_cast<size_t>(batch.blocks_per_seq));
  std::iota(batch.block_tables.begin(), batch.block_tables.end(), 0);
  for (int64_t row = std::max(first_logit, begin); row < end; ++row)
    batch.logit_rows.push_back(narrow<int32_t>(row - begin));
  return batch;
}

}  // namespace veloz::runtime
