// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ostream>
#include <tuple>
#include <vector>

#include "kernel_runs.h"
#include "ops/kv_layout.h"

namespace veloz::cpu {
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
OwnedTensor random_rows(DType dtype, int64_t num_tokens, int64_t width, uint64_t seed) {
  OwnedTensor rows = test::random_tensor(dtype, {num_tokens, width}, seed,
                                         {.low = -3, .high = 3, .row_stride = width + 2});
  const double special[] = {0, 1e-35, 1e4, -1e4, std::nan(""), INFINITY, 0x1p-9, -0.0};
  for (int64_t t = 3; t < num_tokens; t += 4)  // every fourth row
    test::set_element(rows.view(), t * width + (t * 13) % width, special[t / 4 % 8]);
  if (num_tokens > 2)
    for (int64_t i = 0; i < width; ++i) test::set_element(rows.view(), 2 * width + i, 0);
  return rows;
}

TEST_P(KvAppendKernels, WriteTheSlotsAsTheReferenceAndNothingElse) {
  const auto& [dtype, cache_dtype] = GetParam();
  for (const auto& [num_kv_heads, head_dim, block_size] :
       std::vector<std::tuple<int64_t, int64_t, int64_t>>{
           {1, 2, 1}, {3, 24, 16}, {2, 64, 64}, {4, 80, 5}})
    for (const int64_t num_tokens : {0, 1, 7, 33}) {
      const int64_t num_blocks = 40 / block_size + 1;
      const OwnedTensor cache(cache_dtype, {num_blocks, 2, num_kv_heads, block_size,
                                            ops::kv_row_extent(cache_dtype, head_dim)});
      std::memset(cache.view().data, 0x3c, cache.view().num_bytes());
      const OwnedTensor k = random_rows(dtype, num_tokens, num_kv_heads * head_dim, 2);
      const OwnedTensor v = random_rows(dtype, num_tokens, num_kv_heads * head_dim, 3);
      std::vector<int64_t> all(static_cast<size_t>(num_tokens));
      for (int64_t t = 0; t < num_tokens; ++t)
        all[static_cast<size_t>(t)] = t * 7 % (num_blocks * block_size);
      std::ranges::sort(all);
      ASSERT_EQ(std::ranges::adjacent_find(all), all.end());
      std::ranges::reverse(all);
      const OwnedTensor slots = test::tensor_of(Shape{num_tokens}, all);
      ops::Attrs attrs{{"num_kv_heads", num_kv_heads}, {"head_dim", head_dim}};
      if (cache_dtype == DType::fp8_e4m3) {
        attrs.set("k_scale", 0.3);
        attrs.set("v_scale", 17.0);
      }
      const test::GuardedTensor want(cache.view());
      test::run_reference_into(Op::kv_append, {want.view(), k.view(), v.view(), slots.view()},
                               {want.view()}, attrs);
      int num_kernels = 0;
      for (const ops::Kernel& kernel : kernels_of(Op::kv_append)) {
        const std::vector<TensorView> inputs = {cache.view(), k.view(), v.view(), slots.view()};
        if (!accepts(kernel, inputs, {cache.view()}, attrs, "")) continue;
        ++num_kernels;
        const test::GuardedTensor written(cache.view());
        run_kernel(kernel, {written.view(), k.view(), v.view(), slots.view()}, {written.view()},
                   attrs, 3);
        EXPECT_EQ(std::memcmp(written.view().data, want.view().data, cache.view().num_bytes()), 0)
            << kernel.name << ", " << num_tokens << " tokens of " << num_kv_heads << " x "
            << head_dim << " in blocks of " << block_size;
      }
      EXPECT_GE(num_kernels, 1);
    }
}

INSTANTIATE_TEST_SUITE_P(
    All, KvAppendKernels,
    ::testing::Values(DTypes{DType::fp32, DType::fp32}, DTypes{DType::bf16, DType::bf16},
                      DTypes{DType::fp32, DType::bf16}, DTypes{DType::bf16, DType::fp8_e4m3},
                      DTypes{DType::fp32, DType::fp8_e4m3}, DTypes{DType::bf16, DType::int8},
                      DTypes{DType::fp32, DType::int8}),
    [](const auto& test) {
      return std::string(to_string(test.param.x)) + "_to_" +
             std::string(to_string(test.param.cache));
    });

}  // namespace
}  // namespace veloz::cpu
