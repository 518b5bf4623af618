// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <tuple>

#include "cuda/attention_plans.h"

/// A sequence that decodes gets the same bits from a cluster that has all its leaves at once as
/// from a thread block that takes tile after tile.
namespace veloz::cuda {
namespace {

using test::AttentionCase;
using test::OwnedTensor;

struct LeafHeads {
  const char* name;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  int64_t block_size;
};

class AttentionLeaves : public ::testing::TestWithParam<std::tuple<LeafHeads, DType>> {
 protected:
  static AttentionCase case_of(std::vector<int32_t> q_lens, std::vector<int32_t> kv_lens) {
    const auto& [heads, cache] = GetParam();
    return {.num_heads = heads.num_heads,
            .num_kv_heads = heads.num_kv_heads,
            .head_dim = heads.head_dim,
            .block_size = heads.block_size,
            .q_lens = std::move(q_lens),
            .kv_lens = std::move(kv_lens),
            .dtype = DType::bf16,
            .cache_dtype = cache,
            .unwritten = std::numeric_limits<double>::quiet_NaN()};
  }
  static AttentionCase decode_of(const std::vector<int32_t>& kv_lens) {
    return case_of(std::vector<int32_t>(kv_lens.size(), 1), kv_lens);
  }

  template <int64_t kBlocksPerLeaf>
  static void expect_same(const GpuAttention& gpu, const OwnedTensor& want) {
    const std::vector<TensorView> inputs = gpu.inputs();
    const std::vector<TensorView> outputs = {want.view()};
    const ops::OpCall call{.inputs = inputs, .outputs = outputs, .attrs = gpu.built.attrs};
    if (!plan_clusters(ops::PagedAttentionArgs::from(call), kBlocksPerLeaf)) return;
    const OwnedTensor y =
        run_attention(clustered_attention<kBlocksPerLeaf>(), inputs, gpu.built.attrs);
    for (int64_t row = 0; row < want.view().shape[0]; ++row)
      EXPECT_TRUE(is_same_row(y, want, row))
          << "token " << row << ", thread blocks for a leaf: " << kBlocksPerLeaf;
  }
  static void expect_same_from_clusters(const AttentionCase& c) {
    const GpuAttention gpu(test::build_attention(c));
    const OwnedTensor want =
        run_attention(planned_attention<1, 8>(), gpu.inputs(), gpu.built.attrs);
    expect_same<1>(gpu, want);
    expect_same<2>(gpu, want);
    expect_same<4>(gpu, want);
  }
};

TEST_P(AttentionLeaves, OfOneEachAreTheSame) {
  expect_same_from_clusters(decode_of({1, 15, 16, 17, 63, 64, 65, 447}));
}

TEST_P(AttentionLeaves, OfRaggedLengthsAreTheSame) {
  expect_same_from_clusters(decode_of({512, 1, 513}));
  expect_same_from_clusters(decode_of({130, 1537}));
  expect_same_from_clusters(decode_of({2100, 70, 600}));  // in teams of one, four and two
}

TEST_P(AttentionLeaves, OfAllThatAClusterTakesAreTheSame) {
  expect_same_from_clusters(decode_of({4031}));
}

TEST_P(AttentionLeaves, OfFewTokensEachAndBesidePrefillAreTheSame) {
  expect_same_from_clusters(case_of({2, 40, 1, 4}, {2, 70, 514, 67}));
}

constexpr LeafHeads kLeafHeads[] = {{"MultiHead64", 2, 2, 64, 16},
                                    {"Grouped20Of64", 20, 1, 64, 32},
                                    {"Grouped8Of128", 8, 1, 128, 64},
                                    {"Grouped4Of128", 4, 1, 128, 48},
                                    {"MultiHead256", 1, 1, 256, 64}};
INSTANTIATE_TEST_SUITE_P(Cuda, AttentionLeaves,
                         ::testing::Combine(::testing::ValuesIn(kLeafHeads),
                                            ::testing::Values(DType::bf16, DType::fp8_e4m3)),
                         kCaseAndCacheName);

}  // namespace
}  // namespace veloz::cuda
