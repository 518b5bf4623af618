// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <ostream>
#include <string>

#include "cuda/cuda_runs.h"
#include "cuda/plain_cache.h"
#include "support/attention_case.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::AttentionCase;
using test::BuiltAttention;
using test::OwnedTensor;

struct NamedCase {
  const char* name;
  AttentionCase attention;
};
void PrintTo(const NamedCase& c, std::ostream* out) { *out << c.name; }

/// Operands with the cache as it lies on the GPU.
struct GpuAttention {
  explicit GpuAttention(BuiltAttention built_in)
      : built(std::move(built_in)), cache(plain_cache(built.cache.view())) {}

  std::vector<TensorView> inputs() const {
    std::vector<TensorView> inputs = built.inputs();
    inputs[1] = cache.view();
    return inputs;
  }

  BuiltAttention built;
  OwnedTensor cache;
};

OwnedTensor run_on_gpu(const ops::Kernel& kernel, const GpuAttention& gpu) {
  const TensorView& q = gpu.built.q.view();
  OwnedTensor y(q.dtype, q.shape, q.shape[1] + 8);
  run_kernel(kernel, gpu.inputs(), {y.view()}, gpu.built.attrs);
  return y;
}

/// All kernels that take the case, against the reference.
void expect_kernels_match(const AttentionCase& c) {
  const GpuAttention gpu(test::build_attention(c));
  const std::vector<OwnedTensor> want =
      test::run_reference(Op::paged_attention, gpu.built.inputs(), gpu.built.attrs);
  for (const ops::Kernel& kernel : kernels_of(Op::paged_attention)) {
    if (!accepts(kernel, gpu.inputs(), test::views_of(want), gpu.built.attrs)) continue;
    const OwnedTensor y = run_on_gpu(kernel, gpu);
    EXPECT_WITHIN_TOLERANCE(Op::paged_attention, gpu.built.inputs(), want, 0, y.view(),
                            gpu.built.attrs, c.seed)
        << kernel.name;
  }
}

class SimpleAttention : public ::testing::TestWithParam<NamedCase> {};

TEST_P(SimpleAttention, MatchesTheReference) { expect_kernels_match(GetParam().attention); }

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

}  // namespace
}  // namespace veloz::cuda
