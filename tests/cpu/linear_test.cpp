// SPDX-License-Identifier: Apache-2.0
#include "cpu/linear.h"

#include <gtest/gtest.h>

#include <utility>

#include "base/numeric.h"
#include "cpu/layouts.h"
#include "cpu/panel_product.h"
#include "kernel_runs.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::OwnedTensor;
using test::random_tensor;

const ops::WeightLayout& layout_of(DType dtype) {
  static const std::vector<ops::WeightLayout> layouts = weight_layouts();
  return layouts[dtype == DType::bf16 ? 0 : 1];
}

class LinearKernels : public ::testing::TestWithParam<ops::Kernel> {
 protected:
  const ops::Kernel& kernel() const { return GetParam(); }
  DType dtype() const { return dtype_of(kernel()); }
};

TEST_P(LinearKernels, MatchTheReferenceOnOddShapes) {
  for (const int64_t m : {1, 2, 5, 6, 7, 13})
    for (const int64_t k : {1, 2, 3, 31, 128, 2053})
      for (const int64_t n : {1, 15, 16, 17, 65, 130}) {
        const uint64_t seed = static_cast<uint64_t>(m * 1000000 + k * 1000 + n);
        const OwnedTensor x = random_tensor(dtype(), {m, k}, seed);
        const OwnedTensor w = random_tensor(dtype(), {n, k}, seed + 1);
        const std::vector<TensorView> inputs = {x.view(), w.view()};
        const auto want = test::run_reference(Op::linear, inputs);
        const PackedTensor packed(w.view(), layout_of(dtype()));
        OwnedTensor y(dtype(), {m, n});
        run_kernel(kernel(), {x.view(), packed.view()}, {y.view()});
        EXPECT_WITHIN_TOLERANCE(Op::linear, inputs, want, 0, y.view(), {}, seed);
      }
}

TEST_P(LinearKernels, AddBiasAndReadAndWriteStridedRowsAndFp32) {
  const int64_t m = 9, k = 77, n = 37;
  for (const bool wants_fp32 : {false, true}) {
    ops::Attrs attrs;
    if (wants_fp32) attrs.set("out", std::string("fp32"));
    const DType out = wants_fp32 ? DType::fp32 : dtype();
    const OwnedTensor x = random_tensor(dtype(), {m, k}, 5, {.row_stride = k + 6});
    const OwnedTensor w = random_tensor(dtype(), {n, k}, 6);
    const OwnedTensor bias = random_tensor(DType::fp32, {n}, 7);
    const std::vector<TensorView> inputs = {x.view(), w.view(), bias.view()};
    const auto want = test::run_reference(Op::linear, inputs, attrs);
    const PackedTensor packed(w.view(), layout_of(dtype()));
    const OwnedTensor y(out, {m, n}, n + 5);
    run_kernel(kernel(), {x.view(), packed.view(), bias.view()}, {y.view()}, attrs);
    EXPECT_WITHIN_TOLERANCE(Op::linear, inputs, want, 0, y.view(), attrs, 5);
    EXPECT_TRUE(y.gaps_untouched());
  }
}

TEST_P(LinearKernels, NeverLookPastTheEndOfAnyOperand) {
  for (const auto& [m, k] : {std::pair{3, 1}, {3, 7}, {3, 64}, {9, 1}, {9, 7}, {9, 96}}) {
    const int64_t n = 19;
    const OwnedTensor x = random_tensor(dtype(), {m, k}, 1);
    const OwnedTensor w = random_tensor(dtype(), {n, k}, 2);
    const OwnedTensor bias = random_tensor(DType::fp32, {n}, 3);
    const PackedTensor packed(w.view(), layout_of(dtype()));
    const OwnedTensor y(dtype(), {m, n});
    const test::GuardedTensor guarded_x(x.view()), guarded_w(packed.bytes()),
        guarded_bias(bias.view()), guarded_y(y.view());
    const TensorView w_view(guarded_w.view().data, dtype(), {n, k});
    run_kernel(kernel(), {guarded_x.view(), w_view, guarded_bias.view()}, {guarded_y.view()});
    run_kernel(kernel(), {x.view(), packed.view(), bias.view()}, {y.view()});
    EXPECT_TENSOR_EQ(guarded_y.view(), y.view(), 1);
  }
}

TEST_P(LinearKernels, DoNothingForNoRows) {
  const OwnedTensor x(dtype(), {0, 8});
  const OwnedTensor w = random_tensor(dtype(), {4, 8}, 2);
  const PackedTensor packed(w.view(), layout_of(dtype()));
  const OwnedTensor y(dtype(), {0, 4});
  run_kernel(kernel(), {x.view(), packed.view()}, {y.view()});
}

TEST_P(LinearKernels, KeepNaNInItsRowAndItsColumn) {
  const int64_t m = 7, k = 34, n = 20;
  const OwnedTensor x = random_tensor(dtype(), {m, k}, 1);
  const OwnedTensor w = random_tensor(dtype(), {n, k}, 2);
  test::set_element(x.view(), 3 * k + 33, std::nan(""));
  test::set_element(w.view(), 17 * k + 1, std::nan(""));
  const PackedTensor packed(w.view(), layout_of(dtype()));
  const OwnedTensor y(dtype(), {m, n});
  run_kernel(kernel(), {x.view(), packed.view()}, {y.view()});
  for (int64_t t = 0; t < m; ++t)
    for (int64_t c = 0; c < n; ++c)
      EXPECT_EQ(std::isnan(test::element(y.view(), t * n + c)), t == 3 || c == 17) << t << " " << c;
}

/// Row i of any M has the bits of that row alone, on any number of threads.
TEST_P(LinearKernels, RowsDoNotDependOnTheirNeighboursOrOnThreads) {
  const bool is_portable = kernel().name.find("portable") != std::string_view::npos;
  for (const int64_t k : {127, 2048, 5632}) {
    // A cut panel, groups of one and of several panels; fewer for the slow one.
    const int64_t n = k == 127 ? 200 : is_portable ? 17 : 72;
    const int64_t max_rows = 512;
    const OwnedTensor x = random_tensor(dtype(), {max_rows, k}, static_cast<uint64_t>(k));
    const OwnedTensor w = random_tensor(dtype(), {n, k}, 2);
    const PackedTensor packed(w.view(), layout_of(dtype()));
    const OwnedTensor alone(DType::fp32, {max_rows, n});
    const ops::Attrs attrs{{"out", std::string("fp32")}};
    for (int64_t t = 0; t < max_rows; ++t)
      run_kernel(kernel(), {rows_of(x.view(), t, t + 1), packed.view()},
                 {rows_of(alone.view(), t, t + 1)}, attrs, 1);
    const auto check = [&](int64_t m, int num_threads) {
      const OwnedTensor y(DType::fp32, {m, n});
      run_kernel(kernel(), {rows_of(x.view(), 0, m), packed.view()}, {y.view()}, attrs,
                 num_threads);
      const auto bytes = static_cast<size_t>(m * n) * sizeof(float);
      ASSERT_EQ(std::memcmp(y.view().data, alone.view().data, bytes), 0)
          << "m " << m << " k " << k << " threads " << num_threads;
    };
    for (int64_t m = 1; m <= 130; ++m) check(m, m % 3 == 0 ? 3 : 1);
    for (const int num_threads : {1, 2, 3, 7}) check(max_rows, num_threads);
  }
}

TEST_P(LinearKernels, RowsBeyondOneBlockAreRowsLikeAnyOther) {
  const int64_t m = 1100, k = 5, n = 33;  // choose_panel_blocking cuts them in three
  const OwnedTensor x = random_tensor(dtype(), {m, k}, 1);
  const OwnedTensor w = random_tensor(dtype(), {n, k}, 2);
  const PackedTensor packed(w.view(), layout_of(dtype()));
  const OwnedTensor y(dtype(), {m, n}), alone(dtype(), {1, n});
  run_kernel(kernel(), {x.view(), packed.view()}, {y.view()});
  for (const int64_t t : {int64_t{0}, int64_t{366}, int64_t{367}, int64_t{734}, m - 1}) {
    run_kernel(kernel(), {rows_of(x.view(), t, t + 1), packed.view()}, {alone.view()});
    EXPECT_TENSOR_EQ(rows_of(y.view(), t, t + 1), alone.view(), 1);
  }
}

TEST_P(LinearKernels, RowsTooLongToBePackedAreRowsLikeAnyOther) {
  const int64_t m = 9, k = 16500, n = 17;
  const OwnedTensor x = random_tensor(dtype(), {m, k}, 1);
  const OwnedTensor w = random_tensor(dtype(), {n, k}, 2);
  const PackedTensor packed(w.view(), layout_of(dtype()));
  const OwnedTensor y(dtype(), {m, n}), alone(dtype(), {1, n});
  run_kernel(kernel(), {x.view(), packed.view()}, {y.view()});
  for (const int64_t t : {int64_t{0}, int64_t{5}, m - 1}) {
    run_kernel(kernel(), {rows_of(x.view(), t, t + 1), packed.view()}, {alone.view()});
    EXPECT_TENSOR_EQ(rows_of(y.view(), t, t + 1), alone.view(), 1);
  }
}

INSTANTIATE_TEST_SUITE_P(All, LinearKernels, ::testing::ValuesIn(kernels_of(Op::linear)),
                         [](const auto& test) { return test_name(test.param); });

/// The kernels with fused multiply-adds form one numeric class, so an engine gives the same tokens
/// on all of them.
TEST(LinearClasses, FusedKernelsOfADtypeAgreeBitForBit) {
  for (const DType dtype : {DType::bf16, DType::fp32}) {
    const OwnedTensor x = random_tensor(dtype, {5, 301}, 1);
    const OwnedTensor w = random_tensor(dtype, {40, 301}, 2);
    const PackedTensor packed(w.view(), layout_of(dtype));
    std::vector<OwnedTensor> results;
    for (const ops::Kernel& kernel : kernels_of(Op::linear)) {
      if (dtype_of(kernel) != dtype || kernel.name.find("portable") != std::string_view::npos)
        continue;
      results.emplace_back(DType::fp32, Shape{5, 40});
      run_kernel(kernel, {x.view(), packed.view()}, {results.back().view()},
                 {{"out", std::string("fp32")}});
      EXPECT_TENSOR_EQ(results.back().view(), results.front().view(), 1) << kernel.name;
    }
  }
}

TEST(PanelBlocking, CutsEvenlyAndCoversAll) {
  for (const int64_t rows : {1, 6, 516, 517, 2048, 8192})
    for (const int64_t steps : {0, 1, 1024, 1025, 2816}) {
      const PanelBlocking blocking = choose_panel_blocking(rows, steps);
      EXPECT_GE(blocking.rows, 1);
      EXPECT_LE(blocking.rows, 516);
      EXPECT_GE(blocking.steps, 1);
      EXPECT_LE(blocking.steps, 1024);
      const int64_t blocks = ceil_div(rows, blocking.rows);
      EXPECT_LT(blocks * blocking.rows - rows, blocks) << rows;
    }
}

TEST(PanelBlocking, CutsBetweenGroupsAndLeavesRoomForExpandedSteps) {
  for (const int64_t steps : {8, 32, 512, 1408, 1536})
    for (const int64_t group : {8, 32})
      for (const int64_t expanded : {1, 2, 4}) {
        if (steps % group != 0) continue;
        const PanelBlocking blocking = choose_panel_blocking(64, steps, group, expanded);
        EXPECT_EQ(blocking.steps % group, 0) << steps;
        EXPECT_LE(blocking.steps * expanded, 1024) << steps;
        EXPECT_GE(blocking.steps, 1) << steps;
      }
}

}  // namespace
}  // namespace veloz::cpu
