// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <limits>
#include <tuple>

#include "cuda/attention_runs.h"

/// A token's attention is the same, bit for bit, however it is computed.
namespace veloz::cuda {
namespace {

using ops::Op;
using test::AttentionCase;
using test::OwnedTensor;

/// Tokens [begin, end) of a sequence's last ones, as one chunk.
struct Chunk {
  int64_t seq;
  int64_t begin;
  int64_t end;
};

struct Shapes {
  const char* name;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
};

class AttentionBits : public ::testing::TestWithParam<std::tuple<Shapes, DType>> {
 protected:
  static constexpr int32_t kTokens = 30;

  /// Sequences whose last kTokens tokens are here: of the first these are all, the others' cross
  /// from a tile to the next, and from a leaf of the tree to the next.
  AttentionBits() : gpu_(test::build_attention(attention_case())) {
    whole_ = run({{0, 0, kTokens}, {1, 0, kTokens}, {2, 0, kTokens}});
  }

  static AttentionCase attention_case() {
    const auto& [shapes, cache] = GetParam();
    return {.num_heads = shapes.num_heads,
            .num_kv_heads = shapes.num_kv_heads,
            .head_dim = shapes.head_dim,
            .block_size = 64,
            .q_lens = {kTokens, kTokens, kTokens},
            .kv_lens = {kTokens, 80, 530},
            .dtype = DType::bf16,
            .cache_dtype = cache,
            .unwritten = std::numeric_limits<double>::quiet_NaN()};
  }

  /// The rows of these chunks, as the sequences of one step.
  std::vector<std::vector<uint16_t>> run(const std::vector<Chunk>& chunks) const {
    const TensorView& all_q = gpu_.built.q.view();
    const TensorView& all_tables = gpu_.built.block_tables.view();
    const auto num_seqs = static_cast<int64_t>(chunks.size());
    std::vector<int32_t> starts, lens, kv_lens;
    int32_t num_tokens = 0;
    for (const Chunk& chunk : chunks) {
      starts.push_back(num_tokens);
      lens.push_back(static_cast<int32_t>(chunk.end - chunk.begin));
      kv_lens.push_back(gpu_.built.kv_lens.view().as<const int32_t>()[chunk.seq] - kTokens +
                        static_cast<int32_t>(chunk.end));
      num_tokens += lens.back();
    }
    const int64_t width = all_q.shape[1];
    const OwnedTensor q(DType::bf16, {num_tokens, width});
    const OwnedTensor tables(DType::int32, {num_seqs, all_tables.shape[1]});
    for (int64_t s = 0; s < num_seqs; ++s) {
      const Chunk& chunk = chunks[static_cast<size_t>(s)];
      std::memcpy(tables.view().row<int32_t>(s), all_tables.row<int32_t>(chunk.seq),
                  static_cast<size_t>(all_tables.shape[1]) * sizeof(int32_t));
      for (int64_t t = chunk.begin; t < chunk.end; ++t)
        std::memcpy(q.view().row<uint16_t>(starts[static_cast<size_t>(s)] + t - chunk.begin),
                    all_q.row<uint16_t>(chunk.seq * kTokens + t),
                    static_cast<size_t>(width) * sizeof(uint16_t));
    }
    const OwnedTensor start_tensor = test::tensor_of(Shape{num_seqs}, starts);
    const OwnedTensor len_tensor = test::tensor_of(Shape{num_seqs}, lens);
    const OwnedTensor kv_len_tensor = test::tensor_of(Shape{num_seqs}, kv_lens);
    const OwnedTensor y = run_attention(kernel_named("paged_attention/tensor_cores"),
                                        {q.view(), gpu_.cache.view(), start_tensor.view(),
                                         len_tensor.view(), kv_len_tensor.view(), tables.view()},
                                        gpu_.built.attrs);
    std::vector<std::vector<uint16_t>> rows;
    for (int64_t t = 0; t < num_tokens; ++t)
      rows.emplace_back(y.view().row<uint16_t>(t), y.view().row<uint16_t>(t) + width);
    return rows;
  }

  void expect_same(const std::vector<Chunk>& chunks) const {
    const std::vector<std::vector<uint16_t>> rows = run(chunks);
    size_t row = 0;
    for (const Chunk& chunk : chunks)
      for (int64_t t = chunk.begin; t < chunk.end; ++t)
        EXPECT_EQ(rows[row++], whole_[static_cast<size_t>(chunk.seq * kTokens + t)])
            << "sequence " << chunk.seq << ", token " << t;
  }

  GpuAttention gpu_;
  std::vector<std::vector<uint16_t>> whole_;
};

TEST_P(AttentionBits, AreThoseOfATokenThatDecodesAlone) {
  for (const int64_t t : {0, 11, 12, 29}) expect_same({{2, t, t + 1}});
  expect_same({{0, 0, 1}});
  expect_same({{1, 13, 14}});
}

TEST_P(AttentionBits, AreThoseOfATokenThatDecodesAmongOthers) {
  expect_same({{0, 5, 6}, {2, 20, 21}, {1, 3, 4}, {0, 29, 30}, {2, 12, 13}});
}

TEST_P(AttentionBits, AreThoseOfAnyCut) {
  expect_same({{2, 0, 7}, {0, 0, 23}, {1, 0, 20}});
  expect_same({{2, 7, 9}, {2, 9, 12}, {0, 23, 24}, {2, 12, 30}, {0, 24, 30}, {1, 20, 30}});
}

constexpr Shapes kShapes[] = {{"MultiHead64", 2, 2, 64},
                              {"Grouped4Of128", 4, 1, 128},
                              {"Grouped8Of64", 8, 1, 64},
                              {"Wide", 2, 1, 256}};
INSTANTIATE_TEST_SUITE_P(Cuda, AttentionBits,
                         ::testing::Combine(::testing::ValuesIn(kShapes),
                                            ::testing::Values(DType::bf16, DType::fp8_e4m3)),
                         kCaseAndCacheName);

/// So many rows that no sequence is split: leaves are folded where they are computed.
TEST(AttentionTree, FoldsToTheSameBitsInOneThreadBlockAndInMany) {
  const GpuAttention gpu(test::build_attention({.num_heads = 16,
                                                .num_kv_heads = 1,
                                                .head_dim = 64,
                                                .block_size = 64,
                                                .q_lens = {1},
                                                .kv_lens = {530},
                                                .dtype = DType::bf16}));
  const ops::Kernel kernel = kernel_named("paged_attention/tensor_cores");
  const OwnedTensor few = run_attention(kernel, gpu.inputs(), gpu.built.attrs);

  constexpr int64_t kCopies = 530;
  const size_t bytes = 16 * 64 * sizeof(uint16_t);
  const OwnedTensor q(DType::bf16, {1, kCopies * 16 * 64});
  for (int64_t i = 0; i < kCopies; ++i)
    std::memcpy(q.view().as<uint16_t>() + i * 16 * 64, gpu.built.q.view().data, bytes);
  std::vector<TensorView> inputs = gpu.inputs();
  inputs[0] = q.view();
  ops::Attrs attrs = gpu.built.attrs;
  attrs.set("num_heads", kCopies * 16);
  const OwnedTensor many = run_attention(kernel, inputs, attrs);
  for (int64_t i = 0; i < kCopies; ++i)
    ASSERT_EQ(std::memcmp(many.view().as<uint16_t>() + i * 16 * 64, few.view().data, bytes), 0)
        << "copy " << i;
}

}  // namespace
}  // namespace veloz::cuda
