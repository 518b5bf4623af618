// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/sdpa_shape.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/numeric.h"
#include "cuda/cudnn/attention.h"

namespace veloz::cuda {
namespace {

/// A step of these many tokens and sequences, of 64 heads and 8 kv heads.
ops::PagedAttentionArgs step(int64_t num_tokens, int64_t num_seqs, DType cache = DType::bf16) {
  return {.q = TensorView(nullptr, DType::bf16, Shape{num_tokens, 64 * 128}, 80 * 128),
          .cache = TensorView(nullptr, cache, Shape{1000, 2, 8, 16, 128}),
          .q_starts = TensorView(nullptr, DType::int32, Shape{num_seqs}),
          .q_lens = {},
          .kv_lens = {},
          .block_tables = TensorView(nullptr, DType::int32, Shape{num_seqs, 100}),
          .y = TensorView(nullptr, DType::bf16, Shape{num_tokens, 64 * 128}),
          .num_heads = 64,
          .num_kv_heads = 8,
          .head_dim = 128};
}

TEST(SdpaShape, CountsNoMoreChunksThanTheLongestStepsHave) {
  EXPECT_EQ(max_chunks(0, 0, 2), 0);
  EXPECT_EQ(max_chunks(5, 5, 2), 0);    // all decode
  EXPECT_EQ(max_chunks(256, 1, 2), 1);  // one full chunk
  EXPECT_EQ(max_chunks(257, 1, 2), 2);
  EXPECT_EQ(max_chunks(2048, 1, 3), 8);
  EXPECT_EQ(max_chunks(514, 2, 2), 4);  // 257 + 257
  EXPECT_EQ(max_chunks(10, 8, 3), 1);   // one long one, of three tokens
}

TEST(SdpaShape, HasRoomForEveryDivisionOfTheTokens) {
  const std::vector<int32_t> lens = {1, 2, 3, 5, 255, 256, 257, 300, 512, 513};
  for (const int32_t a : lens)
    for (const int32_t b : lens)
      for (const int32_t c : lens)
        for (const int64_t min_rows : {2, 3}) {
          int64_t chunks = 0;
          for (const int64_t q_len : {a, b, c})
            if (q_len >= min_rows) chunks += ceil_div(q_len, kChunkRows);
          EXPECT_LE(chunks, max_chunks(a + b + c, 3, min_rows)) << a << " " << b << " " << c;
        }
}

TEST(SdpaShape, PlansForFewNumbersOfEntries) {
  const std::array<int64_t, 12> buckets = {1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12};
  for (size_t i = 0; i < buckets.size(); ++i)
    EXPECT_EQ(entry_bucket(static_cast<int64_t>(i) + 1), buckets[i]) << i + 1;
  EXPECT_EQ(entry_bucket(97), 128);
}

TEST(SdpaShape, IsThatOfAStep) {
  const SdpaShape shape = sdpa_shape_of(step(2048 + 3, 4));
  EXPECT_EQ(shape, (SdpaShape{.num_entries = 12,
                              .num_heads = 64,
                              .num_kv_heads = 8,
                              .head_dim = 128,
                              .q_stride = 80 * 128,
                              .y_stride = 64 * 128,
                              .num_blocks = 1000,
                              .block_size = 16,
                              .table_columns = 128}));
  EXPECT_EQ(shape.kernel(), sdpa_shape_of(step(500, 2)).kernel());
  EXPECT_EQ(sdpa_shape_of(step(4, 4)).num_entries, 0);
}

TEST(SdpaShape, LaysChunksOutAtAddressesOf16Bytes) {
  const ChunkLayout layout = ChunkLayout::of(sdpa_shape_of(step(2051, 4)));
  EXPECT_EQ(layout.q_offsets, 0);
  EXPECT_EQ(layout.y_offsets, 16);
  EXPECT_EQ(layout.q_lens, 32);
  EXPECT_EQ(layout.kv_lens, 44);
  EXPECT_EQ(layout.tables, 56);
  EXPECT_EQ(layout.count, 56 + 12 * 128);
}

TEST(CudnnChoice, IsForStepsWhoseChunksAreMostlyFull) {
  EXPECT_TRUE(cudnn::is_worth_asking(step(2048, 1)));
  EXPECT_TRUE(cudnn::is_worth_asking(step(2048 + 8, 9)));
  EXPECT_FALSE(cudnn::is_worth_asking(step(64, 64)));          // decodes
  EXPECT_FALSE(cudnn::is_worth_asking(step(200, 1)));          // too few tokens
  EXPECT_FALSE(cudnn::is_worth_asking(step(512 + 255, 256)));  // entries that may be empty
}

TEST(CudnnChoice, LeavesWhatTheLibraryCannotRead) {
  ops::PagedAttentionArgs scaled = step(2048, 1);
  scaled.v_scale = 0.5f;
  EXPECT_FALSE(cudnn::is_worth_asking(scaled));
  ops::PagedAttentionArgs unaligned = step(2048, 1);
  unaligned.q.row_stride += 4;
  EXPECT_FALSE(cudnn::is_worth_asking(unaligned));
  EXPECT_FALSE(cudnn::is_worth_asking(step(int64_t{1} << 18, 1)));  // offsets beyond int32
}

}  // namespace
}  // namespace veloz::cuda
