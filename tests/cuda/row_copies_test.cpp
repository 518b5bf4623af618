// SPDX-License-Identifier: Apache-2.0
#include "cuda/row_copies.h"

#include <gtest/gtest.h>

#include "cuda/cuda_runs.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;
using test::random_tensor;

class CudaRowCopies : public ::testing::TestWithParam<DType> {
 protected:
  DType dtype() const { return GetParam(); }
};

TEST_P(CudaRowCopies, EmbeddingReadsAPlainTable) {
  for (const auto& [vocab_size, width] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {16, 64}, {37, 15}, {103, 257}, {9, 4096}})
    for (const int64_t num_tokens : {0, 1, 7, 33}) {
      const OwnedTensor tokens = random_tensor(DType::int32, {num_tokens}, 1,
                                               {.low = 0, .high = static_cast<double>(vocab_size)});
      if (num_tokens > 0) tokens.view().as<int32_t>()[0] = static_cast<int32_t>(vocab_size - 1);
      const OwnedTensor table = random_tensor(dtype(), {vocab_size, width}, 2);
      const OwnedTensor want(dtype(), {num_tokens, width}),
          y(dtype(), {num_tokens, width}, width + 8);
      test::run_reference_into(Op::embedding, {tokens.view(), table.view()}, {want.view()}, {});
      run_kernel(kernel_named("embedding/plain"), {tokens.view(), table.view()}, {y.view()});
      EXPECT_TENSOR_EQ(y.view(), want.view(), 1);
    }
}

TEST(CudaFeedTokens, MatchesTheReference) {
  for (const int64_t num_feeds : {0, 1, 255, 256, 700}) {
    const int64_t num_tokens = 2 * num_feeds + 3;
    const OwnedTensor tokens = random_tensor(DType::int32, {num_tokens}, 1, {.high = 1000});
    const OwnedTensor sampled = random_tensor(DType::int32, {num_feeds + 1}, 2, {.high = 1000});
    const OwnedTensor feeds(DType::int32, {num_feeds, 2});
    for (int64_t f = 0; f < num_feeds; ++f) {
      feeds.view().row<int32_t>(f)[0] = static_cast<int32_t>(num_tokens - 1 - 2 * f);
      feeds.view().row<int32_t>(f)[1] = static_cast<int32_t>(f * 7 % (num_feeds + 1));
    }
    const auto want =
        test::run_reference(Op::feed_tokens, {tokens.view(), sampled.view(), feeds.view()});
    const OwnedTensor fed = test::copy_of(tokens.view());
    run_kernel(kernel_named("feed_tokens/plain"), {fed.view(), sampled.view(), feeds.view()},
               {fed.view()});
    EXPECT_TENSOR_EQ(fed.view(), want[0].view(), 1);
  }
}

TEST_P(CudaRowCopies, PermuteColumnsReadsStridedRowsAndAnyIndex) {
  for (const int64_t width : {1, 15, 64, 4096})
    for (const int64_t num_rows : {0, 1, 7})
      for (const int64_t gap : {0, 7}) {
        const OwnedTensor x =
            random_tensor(dtype(), {num_rows, width}, 1, {.row_stride = width + gap});
        const OwnedTensor p = random_tensor(DType::int32, {width}, 2,
                                            {.low = -1, .high = static_cast<double>(width) + 1});
        const OwnedTensor want(dtype(), {num_rows, width}), y(dtype(), {num_rows, width});
        test::run_reference_into(Op::permute_columns, {x.view(), p.view()}, {want.view()}, {});
        run_kernel(kernel_named("permute_columns/rows"), {x.view(), p.view()}, {y.view()});
        EXPECT_TENSOR_EQ(y.view(), want.view(), 1);
      }
}

TEST_P(CudaRowCopies, GatherRowsReadsStridedRows) {
  for (const int64_t width : {1, 15, 64, 4096})
    for (const int64_t num_rows : {0, 1, 7, 33})
      for (const int64_t gap : {7, 8}) {
        const OwnedTensor x = random_tensor(dtype(), {9, width}, 1, {.row_stride = width + gap});
        const OwnedTensor rows = random_tensor(DType::int32, {num_rows}, 2, {.low = 0, .high = 9});
        const OwnedTensor want(dtype(), {num_rows, width}), y(dtype(), {num_rows, width});
        test::run_reference_into(Op::gather_rows, {x.view(), rows.view()}, {want.view()}, {});
        run_kernel(kernel_named("gather_rows/rows"), {x.view(), rows.view()}, {y.view()});
        EXPECT_TENSOR_EQ(y.view(), want.view(), 1);
      }
}

INSTANTIATE_TEST_SUITE_P(Cuda, CudaRowCopies, ::testing::Values(DType::fp32, DType::bf16),
                         [](const auto& param) { return std::string(to_string(param.param)); });

}  // namespace
}  // namespace veloz::cuda
