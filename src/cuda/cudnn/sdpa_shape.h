// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>

#include "ops/attention.h"

/// What cuDNN's attention is planned for. It takes a batch of maxima (entries, rows of one, columns
/// of the table) and reads real lengths from the device, and a thread block without rows still
/// takes its time. So a step's long sequences are cut into chunks of kChunkRows tokens, each an
/// entry of the batch with its own part of the positions: how many there are follows from the
/// step's tokens within a few, whatever the lengths are, which only the device knows.
namespace veloz::cuda {

/// Two tiles of cuDNN's kernels for Hopper.
inline constexpr int64_t kChunkRows = 256;

struct SdpaShape {
  int64_t num_entries = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t q_stride = 0;  // of a token, in elements
  int64_t y_stride = 0;
  int64_t num_blocks = 0;  // of the cache
  int64_t block_size = 0;
  int64_t table_columns = 0;
  int64_t chunk_rows = kChunkRows;  // tokens of an entry, at most

  auto operator<=>(const SdpaShape&) const = default;  // NOLINT(modernize-use-nullptr)

  /// What decides the code of a kernel: the rest is 0.
  SdpaShape kernel() const {
    return {.num_heads = num_heads,
            .num_kv_heads = num_kv_heads,
            .head_dim = head_dim,
            .block_size = block_size};
  }
  int64_t max_positions() const { return table_columns * block_size; }
};

/// Chunks that the long sequences of a step can come to. A sequence has a token at least, a long
/// one `min_long_rows`.
int64_t max_chunks(int64_t num_tokens, int64_t num_seqs, int64_t min_long_rows);
/// The least number of entries that is planned for and is not below: 1, 2, 3, 4, 6, 8, 12, 16, ...
int64_t entry_bucket(int64_t num_chunks);
/// Of a step's attention, its entries in a bucket and its columns a power of two.
SdpaShape sdpa_shape_of(const ops::PagedAttentionArgs& args);
/// Tokens of the shortest sequence that does not decode.
int64_t min_long_rows(const ops::PagedAttentionArgs& args);

/// What the chunks of a plan take on the device, in int32: parts in this order.
struct ChunkLayout {
  int64_t q_offsets = 0;  // [entries + 1], in elements of q
  int64_t y_offsets = 0;  // [entries + 1]
  int64_t q_lens = 0;     // [entries]
  int64_t kv_lens = 0;    // [entries]
  int64_t tables = 0;     // [entries, columns]
  int64_t count = 0;

  static ChunkLayout of(const SdpaShape& shape);
};

}  // namespace veloz::cuda
