// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ostream>
#include <tuple>
#include <vector>

#include "cuda/cuda_runs.h"
#include "cuda/plain_cache.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

struct DTypes {
  DType x;
  DType cache;
};

void PrintTo(const DTypes& dtypes, std::ostream* out) {
  *out << to_string(dtypes.x) << " to " << to_string(dtypes.cache);
}

class KvAppendKernels : public ::testing::TestWithParam<DTypes> {};

/// Random rows with all that rounding and saturation have cases for.
OwnedTensor random_rows(DType dtype, int64_t num_tokens, int64_t width, int64_t gap,
                        uint64_t seed) {
  OwnedTensor rows = test::random_tensor(dtype, {num_tokens, width}, seed,
                                         {.low = -3, .high = 3, .row_stride = width + gap});
  const double special[] = {0, 1e-35, 1e4, -1e4, std::nan(""), INFINITY, 0x1p-9, -0.0};
  for (int64_t t = 3; t < num_tokens; t += 4)  // every fourth row
    test::set_element(rows.view(), t * width + (t * 13) % width, special[t / 4 % 8]);
  if (num_tokens > 2)
    for (int64_t i = 0; i < width; ++i) test::set_element(rows.view(), 2 * width + i, 0);
  return rows;
}

/// Distinct, not in order.
OwnedTensor make_slots(int64_t num_tokens, int64_t num_slots) {
  std::vector<int64_t> all(static_cast<size_t>(num_tokens));
  for (int64_t t = 0; t < num_tokens; ++t) all[static_cast<size_t>(t)] = t * 7 % num_slots;
  std::ranges::sort(all);
  EXPECT_EQ(std::ranges::adjacent_find(all), all.end());
  std::ranges::reverse(all);
  return test::tensor_of(Shape{num_tokens}, all);
}

TEST_P(KvAppendKernels, WriteTheSlotsAsTheReferenceAndNothingElse) {
  const auto& [dtype, cache_dtype] = GetParam();
  for (const auto& [num_kv_heads, head_dim, block_size] :
       std::vector<std::tuple<int64_t, int64_t, int64_t>>{{1, 2, 16},
                                                          {3, 24, 16},
                                                          {2, 64, 64},
                                                          {4, 80, 16},
                                                          {2, 128, 64},
                                                          {1, 300, 16},
                                                          {2, 102, 32}})
    for (const int64_t num_tokens : {0, 1, 7, 33})
      for (const int64_t gap : {2, 8}) {
        SCOPED_TRACE(fmt::format("{} tokens of {} x {} in blocks of {}", num_tokens, num_kv_heads,
                                 head_dim, block_size));
        const int64_t num_blocks = 40 / block_size + 1;
        const OwnedTensor cache(cache_dtype, {num_blocks, 2, num_kv_heads, block_size,
                                              ops::kv_row_extent(cache_dtype, head_dim)});
        std::memset(cache.view().data, 0x3c, cache.view().num_bytes());
        const OwnedTensor k = random_rows(dtype, num_tokens, num_kv_heads * head_dim, gap, 2);
        const OwnedTensor v = random_rows(dtype, num_tokens, num_kv_heads * head_dim, gap, 3);
        const OwnedTensor slots = make_slots(num_tokens, num_blocks * block_size);
        ops::Attrs attrs{{"num_kv_heads", num_kv_heads}, {"head_dim", head_dim}};
        if (cache_dtype == DType::fp8_e4m3) {
          attrs.set("k_scale", 0.3);
          attrs.set("v_scale", 17.0);
        }
        const OwnedTensor reference = test::copy_of(cache.view());
        test::run_reference_into(Op::kv_append,
                                 {reference.view(), k.view(), v.view(), slots.view()},
                                 {reference.view()}, attrs);
        const OwnedTensor want = plain_cache(reference.view());
        for (const ops::Kernel& kernel : kernels_of(Op::kv_append)) {
          const OwnedTensor written = test::copy_of(cache.view());
          const std::vector<TensorView> inputs = {written.view(), k.view(), v.view(), slots.view()};
          ASSERT_TRUE(accepts(kernel, inputs, {written.view()}, attrs));
          run_kernel(kernel, inputs, {written.view()}, attrs);
          EXPECT_TENSOR_EQ(written.view(), want.view(), 2) << kernel.name;
        }
      }
}

INSTANTIATE_TEST_SUITE_P(
    Cuda, KvAppendKernels,
    ::testing::Values(DTypes{DType::fp32, DType::fp32}, DTypes{DType::bf16, DType::bf16},
                      DTypes{DType::fp32, DType::bf16}, DTypes{DType::bf16, DType::fp32},
                      DTypes{DType::bf16, DType::fp8_e4m3}, DTypes{DType::fp32, DType::fp8_e4m3},
                      DTypes{DType::bf16, DType::int8}, DTypes{DType::fp32, DType::int8}),
    [](const auto& param) {
      return std::string(to_string(param.param.x)) + "_to_" +
             std::string(to_string(param.param.cache));
    });

}  // namespace
}  // namespace veloz::cuda
