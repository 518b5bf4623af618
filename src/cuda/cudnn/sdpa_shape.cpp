// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/sdpa_shape.h"

#include <algorithm>
#include <bit>

#include "base/numeric.h"
#include "cuda/attention_plan.h"

namespace veloz::cuda {

int64_t max_chunks(int64_t num_tokens, int64_t num_seqs, int64_t min_rows) {
  // Others have a token each: what is left is shared by as many long ones as it is enough for.
  const int64_t num_long =
      std::min(num_seqs, std::max<int64_t>(num_tokens - num_seqs, 0) / (min_rows - 1));
  // All of them may end in a chunk of one token; the tokens of the others are not in chunks.
  const int64_t num_rows = num_tokens - (num_seqs - num_long);
  return num_long == 0 ? 0 : (num_rows - num_long) / kChunkRows + num_long;
}

int64_t entry_bucket(int64_t num_chunks) {
  const auto above = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(num_chunks)));
  const int64_t between = above / 4 * 3;
  return num_chunks <= between ? between : above;
}

int64_t min_long_rows(const ops::PagedAttentionArgs& args) {
  const auto group = static_cast<int>(args.num_heads / args.num_kv_heads);
  int rows = 2;
  while (is_short_sequence(rows, group)) ++rows;
  return rows;
}

SdpaShape sdpa_shape_of(const ops::PagedAttentionArgs& args) {
  const int64_t chunks = max_chunks(args.q.shape[0], args.q_starts.shape[0], min_long_rows(args));
  return {.num_entries = chunks == 0 ? 0 : entry_bucket(chunks),
          .num_heads = args.num_heads,
          .num_kv_heads = args.num_kv_heads,
          .head_dim = args.head_dim,
          .q_stride = args.q.row_stride,
          .y_stride = args.y.row_stride,
          .num_blocks = args.cache.shape[0],
          .block_size = args.cache.shape[3],
          .table_columns = static_cast<int64_t>(
              std::bit_ceil(static_cast<uint64_t>(args.block_tables.shape[1])))};
}

ChunkLayout ChunkLayout::of(const SdpaShape& shape) {
  constexpr int64_t kAlignment = 4;  // 16 bytes
  ChunkLayout layout;
  const auto take = [&](int64_t count) {
    const int64_t at = layout.count;
    layout.count += round_up(count, kAlignment);
    return at;
  };
  layout.q_offsets = take(shape.num_entries + 1);
  layout.y_offsets = take(shape.num_entries + 1);
  layout.q_lens = take(shape.num_entries);
  layout.kv_lens = take(shape.num_entries);
  layout.tables = take(shape.num_entries * shape.table_columns);
  return layout;
}

}  // namespace veloz::cuda
