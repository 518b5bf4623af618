// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <tuple>

#include "cuda/attention_runs.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::AttentionCase;
using test::OwnedTensor;

struct NamedCase {
  const char* name;
  AttentionCase attention;
};
void PrintTo(const NamedCase& c, std::ostream* out) { *out << c.name; }

/// A kernel against the reference. The op's tolerance takes long to compute: it is asked for every
/// `stride`-th element.
void expect_match(const ops::Kernel& kernel, const AttentionCase& c, int64_t stride) {
  const GpuAttention gpu(test::build_attention(c));
  const std::vector<TensorView> inputs = gpu.built.inputs();
  const std::vector<OwnedTensor> want =
      test::run_reference(Op::paged_attention, inputs, gpu.built.attrs);
  const std::vector<TensorView> wanted = test::views_of(want);
  const ops::OpCall call{.inputs = inputs, .outputs = wanted, .attrs = gpu.built.attrs};
  const int64_t columns = wanted[0].shape[1];
  ASSERT_TRUE(accepts(kernel, gpu.inputs(), wanted, gpu.built.attrs));
  const OwnedTensor y = run_attention(kernel, gpu.inputs(), gpu.built.attrs);
  EXPECT_TRUE(test::compare_tensors(
      y.view(), wanted[0],
      [&](int64_t i) {
        // Values are below 1, so that no tolerance is beyond 3 roundings of a weight.
        if (i % stride != 0) return 0x1p-7;
        return ops::op_def(Op::paged_attention).tolerance(call, 0, i / columns, i % columns);
      },
      c.seed));
}

class SimpleAttention : public ::testing::TestWithParam<NamedCase> {};

TEST_P(SimpleAttention, MatchesTheReference) {
  expect_match(kernel_named("paged_attention/simple"), GetParam().attention, 1);
}

const NamedCase kOddCases[] = {
    {"Fp32Decode", {.q_lens = {1, 1, 1}, .kv_lens = {1, 17, 130}}},
    {"Fp32Chunk",
     {.num_heads = 4, .num_kv_heads = 1, .head_dim = 10, .q_lens = {3, 5}, .kv_lens = {3, 68}}},
    {"Fp32WideHeads",
     {.num_heads = 1, .num_kv_heads = 1, .head_dim = 300, .q_lens = {2}, .kv_lens = {66}}},
    {"Fp32OddBlocks", {.head_dim = 16, .block_size = 7, .q_lens = {2}, .kv_lens = {30}}},
    {"Fp32OnBf16", {.q_lens = {1, 2}, .kv_lens = {65, 4}, .cache_dtype = DType::bf16}},
    {"Fp32OnFp8", {.q_lens = {1, 2}, .kv_lens = {65, 4}, .cache_dtype = DType::fp8_e4m3}},
    {"Fp32OnInt8",
     {.head_dim = 6, .q_lens = {1, 2}, .kv_lens = {65, 4}, .cache_dtype = DType::int8}},
    {"Bf16", {.q_lens = {1, 2}, .kv_lens = {65, 4}, .dtype = DType::bf16}},
    {"Bf16OnFp32",
     {.q_lens = {1, 2}, .kv_lens = {65, 4}, .dtype = DType::bf16, .cache_dtype = DType::fp32}},
    {"Bf16OnFp8",
     {.q_lens = {1, 2}, .kv_lens = {65, 4}, .dtype = DType::bf16, .cache_dtype = DType::fp8_e4m3}},
    {"Bf16OnInt8",
     {.q_lens = {1, 2}, .kv_lens = {65, 4}, .dtype = DType::bf16, .cache_dtype = DType::int8}},
    {"NanWhereNothingWasWritten",
     {.q_lens = {2, 1},
      .kv_lens = {17, 65},
      .unwritten = std::numeric_limits<double>::quiet_NaN()}},
};
INSTANTIATE_TEST_SUITE_P(Cuda, SimpleAttention, ::testing::ValuesIn(kOddCases),
                         [](const auto& param) { return std::string(param.param.name); });

/// What the tensor cores take, for each cache that they read.
class TensorCoreAttention : public ::testing::TestWithParam<std::tuple<NamedCase, DType>> {};

TEST_P(TensorCoreAttention, MatchesTheReference) {
  const auto& [named, cache] = GetParam();
  AttentionCase c = named.attention;
  c.dtype = DType::bf16;
  c.cache_dtype = cache;
  c.unwritten = std::numeric_limits<double>::quiet_NaN();
  expect_match(kernel_named("paged_attention/tensor_cores"), c, 251);
}

const NamedCase kTensorCoreCases[] = {
    {"DecodeOverRaggedLengths",
     {.num_heads = 8,
      .num_kv_heads = 1,
      .head_dim = 64,
      .q_lens = {1, 1, 1, 1, 1, 1, 1, 1},
      .kv_lens = {1, 63, 64, 65, 511, 512, 513, 1100}}},
    {"DecodeOfSeveralKvHeads",
     {.num_heads = 8, .head_dim = 128, .block_size = 64, .q_lens = {1, 1}, .kv_lens = {70, 600}}},
    {"DecodeOfWideHeads",
     {.num_heads = 2, .head_dim = 256, .block_size = 64, .q_lens = {1, 1}, .kv_lens = {65, 530}}},
    {"DecodeOfMoreHeadsThanABlockOfRows",
     {.num_heads = 40, .head_dim = 64, .block_size = 48, .q_lens = {1}, .kv_lens = {100}}},
    {"FewTokensEach",
     {.num_heads = 8, .head_dim = 64, .q_lens = {3, 2, 4}, .kv_lens = {3, 514, 65}}},
    {"Prefill",
     {.num_heads = 4,
      .num_kv_heads = 1,
      .head_dim = 64,
      .block_size = 64,
      .q_lens = {70},
      .kv_lens = {70}}},
    {"PrefillMultiHead",
     {.num_heads = 2, .head_dim = 64, .q_lens = {130, 17}, .kv_lens = {130, 17}}},
    {"ChunkAfterALeaf",
     {.num_heads = 8, .num_kv_heads = 1, .head_dim = 128, .q_lens = {20}, .kv_lens = {525}}},
    {"ChunkOfWideHeads",
     {.num_heads = 2, .head_dim = 256, .block_size = 64, .q_lens = {66}, .kv_lens = {520}}},
    {"ChunksAmongDecodes",
     {.num_heads = 8,
      .head_dim = 64,
      .q_lens = {1, 18, 1, 5, 2, 33},
      .kv_lens = {80, 30, 1, 1100, 64, 33}}},
};
INSTANTIATE_TEST_SUITE_P(Cuda, TensorCoreAttention,
                         ::testing::Combine(::testing::ValuesIn(kTensorCoreCases),
                                            ::testing::Values(DType::bf16, DType::fp8_e4m3)),
                         kCaseAndCacheName);

}  // namespace
}  // namespace veloz::cuda
