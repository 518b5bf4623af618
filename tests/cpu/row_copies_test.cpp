// SPDX-License-Identifier: Apache-2.0
#include "cpu/row_copies.h"

#include <gtest/gtest.h>

#include "cpu/layouts.h"
#include "kernel_runs.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::OwnedTensor;
using test::random_tensor;

class RowCopies : public ::testing::TestWithParam<DType> {
 protected:
  DType dtype() const { return GetParam(); }
};

TEST_P(RowCopies, EmbeddingReadsATableInEveryLayout) {
  for (const auto& [vocab_size, width] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {16, 64}, {37, 15}, {1003, 257}, {40, 4096}})
    for (const int64_t num_tokens : {0, 1, 7, 33}) {
      const OwnedTensor tokens = random_tensor(DType::int32, {num_tokens}, 1,
                                               {.low = 0, .high = static_cast<double>(vocab_size)});
      if (num_tokens > 0) tokens.view().as<int32_t>()[0] = static_cast<int32_t>(vocab_size - 1);
      const OwnedTensor table = random_tensor(dtype(), {vocab_size, width}, 2);
      const OwnedTensor want(dtype(), {num_tokens, width});
      test::run_reference_into(Op::embedding, {tokens.view(), table.view()}, {want.view()}, {});
      for (const ops::WeightLayout& layout : weight_layouts()) {
        // Scales and zeros are never looked up by token.
        if (layout.dtype != dtype() || layout.name == kLayoutCompanion) continue;
        const PackedTensor packed(table.view(), layout);
        const test::GuardedTensor guarded(packed.bytes());
        const TensorView view(guarded.view().data, dtype(), table.view().shape);
        int num_kernels = 0;
        for (const ops::Kernel& kernel : kernels_of(Op::embedding)) {
          if (!accepts(kernel, {tokens.view(), view}, {want.view()}, {}, layout.name)) continue;
          ++num_kernels;
          const OwnedTensor y(dtype(), {num_tokens, width}, width + 3);
          run_kernel(kernel, {tokens.view(), view}, {y.view()}, {}, 3);
          EXPECT_TENSOR_EQ(y.view(), want.view(), 1) << kernel.name << " " << layout.name;
          EXPECT_TRUE(y.gaps_untouched());
        }
        EXPECT_EQ(num_kernels, 1) << layout.name;
      }
    }
}

TEST_P(RowCopies, PermuteColumnsReadsStridedRowsAndAnyIndex) {
  for (const int64_t width : {1, 15, 64, 4096})
    for (const int64_t num_rows : {0, 1, 7, 33}) {
      const OwnedTensor x = random_tensor(dtype(), {num_rows, width}, 1, {.row_stride = width + 7});
      const OwnedTensor p = random_tensor(DType::int32, {width}, 2,
                                          {.low = -1, .high = static_cast<double>(width) + 1});
      const OwnedTensor want(dtype(), {num_rows, width});
      test::run_reference_into(Op::permute_columns, {x.view(), p.view()}, {want.view()}, {});
      for (const ops::Kernel& kernel : kernels_of(Op::permute_columns)) {
        const OwnedTensor y(dtype(), {num_rows, width});
        run_kernel(kernel, {x.view(), p.view()}, {y.view()}, {}, 3);
        EXPECT_TENSOR_EQ(y.view(), want.view(), 1) << kernel.name;
      }
    }
}

TEST_P(RowCopies, GatherRowsReadsStridedRows) {
  for (const int64_t width : {1, 15, 64, 4096})
    for (const int64_t num_rows : {0, 1, 7, 33}) {
      const OwnedTensor x = random_tensor(dtype(), {9, width}, 1, {.row_stride = width + 7});
      const OwnedTensor rows = random_tensor(DType::int32, {num_rows}, 2, {.low = 0, .high = 9});
      const OwnedTensor want(dtype(), {num_rows, width});
      test::run_reference_into(Op::gather_rows, {x.view(), rows.view()}, {want.view()}, {});
      for (const ops::Kernel& kernel : kernels_of(Op::gather_rows)) {
        const OwnedTensor y(dtype(), {num_rows, width});
        const test::GuardedTensor guarded(x.view());
        run_kernel(kernel, {guarded.view(), rows.view()}, {y.view()}, {}, 3);
        EXPECT_TENSOR_EQ(y.view(), want.view(), 1) << kernel.name;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(All, RowCopies, ::testing::Values(DType::fp32, DType::bf16),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace veloz::cpu
