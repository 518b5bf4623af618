// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "cuda/cuda_runs.h"
#include "cuda/plain_cache.h"
#include "support/kv_rows.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

class KvAppendKernels : public ::testing::TestWithParam<test::DTypes> {};

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
        const OwnedTensor cache =
            test::marked_cache(cache_dtype, num_blocks, num_kv_heads, block_size, head_dim);
        const OwnedTensor k =
            test::random_kv_rows(dtype, num_tokens, num_kv_heads * head_dim, gap, 2);
        const OwnedTensor v =
            test::random_kv_rows(dtype, num_tokens, num_kv_heads * head_dim, gap, 3);
        const OwnedTensor slots = test::scattered_slots(num_tokens, num_blocks * block_size);
        const ops::Attrs attrs = test::kv_append_attrs(cache_dtype, num_kv_heads, head_dim);
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

INSTANTIATE_TEST_SUITE_P(Cuda, KvAppendKernels, ::testing::ValuesIn(test::all_kv_dtypes()),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace veloz::cuda
