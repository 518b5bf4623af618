// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/chunks.h"

#include <vector>

#include "cuda/cuda_runs.h"

namespace veloz::cuda {
namespace {

using test::OwnedTensor;

/// What the device wrote, by part.
struct Chunks {
  std::vector<int32_t> q_offsets, y_offsets, q_lens, kv_lens;
  std::vector<std::vector<int32_t>> tables;
};

struct Step {
  std::vector<int32_t> q_lens, kv_lens;
  int64_t group = 8;
  int64_t block_size = 64;
  int64_t columns = 20;
};

Chunks chunks_of(const Step& step) {
  const auto num_seqs = static_cast<int64_t>(step.q_lens.size());
  std::vector<int32_t> starts, tables;
  int32_t num_tokens = 0;
  for (const int32_t q_len : step.q_lens) {
    starts.push_back(num_tokens);
    num_tokens += q_len;
  }
  for (int64_t i = 0; i < num_seqs * step.columns; ++i)
    tables.push_back(static_cast<int32_t>(1000 * (i / step.columns) + i % step.columns));
  const std::vector<OwnedTensor> host = [&] {
    std::vector<OwnedTensor> tensors;
    tensors.push_back(test::tensor_of(Shape{num_seqs}, starts));
    tensors.push_back(test::tensor_of(Shape{num_seqs}, step.q_lens));
    tensors.push_back(test::tensor_of(Shape{num_seqs}, step.kv_lens));
    tensors.push_back(test::tensor_of(Shape{num_seqs, step.columns}, tables));
    return tensors;
  }();
  const auto stream = test_device().create_stream();
  std::vector<std::unique_ptr<DeviceTensor>> device;
  std::vector<TensorView> views;
  for (const OwnedTensor& tensor : host) {
    device.push_back(std::make_unique<DeviceTensor>(tensor.view()));
    device.back()->upload(*stream);
    views.push_back(device.back()->view());
  }
  const ops::PagedAttentionArgs args = {
      .q = TensorView(nullptr, DType::bf16, Shape{num_tokens, step.group * 64},
                      step.group * 64 + 128),
      .cache = TensorView(nullptr, DType::bf16, Shape{9, 2, 1, step.block_size, 64}),
      .q_starts = views[0],
      .q_lens = views[1],
      .kv_lens = views[2],
      .block_tables = views[3],
      .y = TensorView(nullptr, DType::bf16, Shape{num_tokens, step.group * 64}),
      .num_heads = step.group,
      .num_kv_heads = 1,
      .head_dim = 64};
  const SdpaShape shape = sdpa_shape_of(args);
  const ChunkLayout at = ChunkLayout::of(shape);
  const Buffer memory = test_device().allocate(static_cast<size_t>(at.count) * sizeof(int32_t));
  write_chunks(static_cast<CudaStream&>(*stream), args, shape,
               static_cast<int32_t*>(memory.data()));
  std::vector<int32_t> all(static_cast<size_t>(at.count));
  test_device().copy_out(*stream, all.data(), memory.data(), all.size() * sizeof(int32_t));
  stream->synchronize();
  const auto part = [&](int64_t from, int64_t count) {
    return std::vector<int32_t>(all.begin() + from, all.begin() + from + count);
  };
  Chunks chunks{.q_offsets = part(at.q_offsets, shape.num_entries + 1),
                .y_offsets = part(at.y_offsets, shape.num_entries + 1),
                .q_lens = part(at.q_lens, shape.num_entries),
                .kv_lens = part(at.kv_lens, shape.num_entries),
                .tables = {}};
  for (int64_t i = 0; i < shape.num_entries; ++i)
    chunks.tables.push_back(part(at.tables + i * shape.table_columns, shape.table_columns));
  return chunks;
}

TEST(Chunks, AreTheLongSequencesInParts) {
  // Decodes, 300 tokens of which nothing was cached, and 40 behind 1000.
  const Chunks chunks = chunks_of({.q_lens = {1, 300, 1, 40}, .kv_lens = {9, 300, 700, 1040}});
  EXPECT_EQ(chunks.q_lens, (std::vector<int32_t>{256, 44, 40, 0, 0, 0}));
  EXPECT_EQ(chunks.kv_lens, (std::vector<int32_t>{256, 300, 1040, 1, 1, 1}));
  for (size_t i = 0; i < 7; ++i) {
    const int32_t first = i == 0 ? 1 : i == 1 ? 257 : i == 2 ? 302 : 342;
    EXPECT_EQ(chunks.q_offsets[i], first * 640) << i;
    EXPECT_EQ(chunks.y_offsets[i], first * 512) << i;
  }
}

TEST(Chunks, ReadTheBlocksOfTheirPositionsAlone) {
  const Chunks chunks = chunks_of({.q_lens = {1, 300}, .kv_lens = {9, 300}});
  ASSERT_EQ(chunks.q_lens, (std::vector<int32_t>{256, 44, 0}));
  std::vector<int32_t> first(32), second(32);
  for (size_t i = 0; i < 5; ++i) {
    if (i < 4) first[i] = 1000 + static_cast<int32_t>(i);
    second[i] = 1000 + static_cast<int32_t>(i);
  }
  EXPECT_EQ(chunks.tables[0], first);
  EXPECT_EQ(chunks.tables[1], second);
  EXPECT_EQ(chunks.tables[2], std::vector<int32_t>(32));
}

TEST(Chunks, AreFoundAmongMoreSequencesThanThreads) {
  Step step{.q_lens = std::vector<int32_t>(300, 1), .kv_lens = std::vector<int32_t>(300, 5)};
  step.q_lens[7] = step.kv_lens[7] = 520;
  step.q_lens[291] = 3;
  step.kv_lens[291] = 90;
  const Chunks chunks = chunks_of(step);
  const size_t used = 4;
  EXPECT_EQ(std::vector<int32_t>(chunks.q_lens.begin(), chunks.q_lens.begin() + used),
            (std::vector<int32_t>{256, 256, 8, 3}));
  EXPECT_EQ(std::vector<int32_t>(chunks.kv_lens.begin(), chunks.kv_lens.begin() + used),
            (std::vector<int32_t>{256, 512, 520, 90}));
  EXPECT_EQ(chunks.tables[3][1], 291'001);
  for (size_t i = used; i < chunks.q_lens.size(); ++i) EXPECT_EQ(chunks.q_lens[i], 0);
}

}  // namespace
}  // namespace veloz::cuda
