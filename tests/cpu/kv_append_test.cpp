// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <tuple>
#include <vector>

#include "kernel_runs.h"
#include "support/kv_rows.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::OwnedTensor;

class KvAppendKernels : public ::testing::TestWithParam<test::DTypes> {};

TEST_P(KvAppendKernels, WriteTheSlotsAsTheReferenceAndNothingElse) {
  const auto& [dtype, cache_dtype] = GetParam();
  for (const auto& [num_kv_heads, head_dim, block_size] :
       std::vector<std::tuple<int64_t, int64_t, int64_t>>{
           {1, 2, 1}, {3, 24, 16}, {2, 64, 64}, {4, 80, 5}})
    for (const int64_t num_tokens : {0, 1, 7, 33}) {
      const int64_t num_blocks = 40 / block_size + 1;
      const OwnedTensor cache =
          test::marked_cache(cache_dtype, num_blocks, num_kv_heads, block_size, head_dim);
      const OwnedTensor k = test::random_kv_rows(dtype, num_tokens, num_kv_heads * head_dim, 2, 2);
      const OwnedTensor v = test::random_kv_rows(dtype, num_tokens, num_kv_heads * head_dim, 2, 3);
      const OwnedTensor slots = test::scattered_slots(num_tokens, num_blocks * block_size);
      const ops::Attrs attrs = test::kv_append_attrs(cache_dtype, num_kv_heads, head_dim);
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

INSTANTIATE_TEST_SUITE_P(All, KvAppendKernels, ::testing::ValuesIn(test::all_kv_dtypes()),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace veloz::cpu
