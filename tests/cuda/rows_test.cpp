// SPDX-License-Identifier: Apache-2.0
#include "cuda/rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "cuda/row_calls.h"
#include "support/edge_values.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

constexpr Op kRowOps[] = {Op::rms_norm, Op::add_rms_norm, Op::layer_norm, Op::add_layer_norm,
                          Op::add,      Op::act,          Op::gated_act,  Op::rope};

class RowKernels : public ::testing::TestWithParam<std::tuple<ops::Kernel, DType>> {
 protected:
  const ops::Kernel& kernel() const { return std::get<0>(GetParam()); }
  Op op() const { return kernel().op; }
  DType dtype() const { return std::get<1>(GetParam()); }
  bool has_codes() const { return op() != Op::add && op() != Op::rope; }

  void expect_reference(const RowCall& call, const std::vector<OwnedTensor>& got) const {
    const auto want = test::run_reference(op(), call.views(), call.attrs);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT_WITHIN_TOLERANCE(op(), call.views(), want, i, got[i].view(), call.attrs, 10);
  }
};

TEST_P(RowKernels, MatchTheReferenceOnOddShapes) {
  for (const int64_t width : {1, 2, 15, 16, 33, 64, 257})
    for (const int64_t num_rows : {1, 7})
      for (int variant = 0; variant < num_variants(op()); ++variant)
        for (const int64_t gap : {5, 8}) {
          SCOPED_TRACE(fmt::format("{} x {} gap {}, variant {}", num_rows, width, gap, variant));
          const RowCall call = make_call(op(), dtype(), {num_rows, width, gap}, variant);
          expect_reference(call, run_row_kernel(kernel(), call.views(), call.attrs, gap));
        }
}

/// Rows held in registers, by few or many chunks a thread, and those that are too long for it.
TEST_P(RowKernels, MatchTheReferenceOnLongRows) {
  if (op() == Op::rope) return;
  for (const int64_t width : {4096, 8200, 16400}) {
    if (width > 8200 && is_norm(op()) && op() != Op::rms_norm) continue;  // tolerances are slow
    SCOPED_TRACE(width);
    const RowCall call = make_call(op(), dtype(), {1, width, 8});
    expect_reference(call, run_row_kernel(kernel(), call.views(), call.attrs, 8));
  }
}

TEST_P(RowKernels, HaveTheSameBitsWhereverRowsLie) {
  const bool is_rope = op() == Op::rope;
  for (const int64_t width : {64, 520, 8200, 16400}) {
    if (is_rope && width > 520) continue;
    for (int variant = 0; variant < (width > 520 ? 1 : num_variants(op())); ++variant) {
      const RowCall aligned = make_call(op(), dtype(), {2, width, 8}, variant);
      const RowCall odd = make_call(op(), dtype(), {2, width, 1}, variant);
      const auto want = run_row_kernel(kernel(), aligned.views(), aligned.attrs, 8);
      const auto got = run_row_kernel(kernel(), odd.views(), odd.attrs, 3);
      for (size_t i = 0; i < want.size(); ++i)
        EXPECT_TENSOR_EQ(got[i].view(), want[i].view(), 10) << width;
    }
  }
}

TEST_P(RowKernels, RowsDoNotDependOnTheirNeighbours) {
  const int64_t num_rows = 40;
  for (const int64_t width : {33, 264})
    for (int variant = 0; variant < num_variants(op()); ++variant) {
      const RowCall call = make_call(op(), dtype(), {num_rows, width, 0}, variant);
      const auto together = run_row_kernel(kernel(), call.views(), call.attrs, 0);
      for (const int64_t t : {0, 1, 23, 39}) {
        std::vector<TensorView> row = call.views();
        for (TensorView& input : row)
          if (input.shape.rank() == 2) input = rows_of(input, t, t + 1);
        const auto alone = run_row_kernel(kernel(), row, call.attrs, 0);
        for (size_t i = 0; i < alone.size(); ++i)
          EXPECT_TENSOR_EQ(alone[i].view(), rows_of(together[i].view(), t, t + 1), 10) << t;
      }
    }
}

TEST_P(RowKernels, MayWriteOverTheirInputs) {
  for (const int64_t width : {15, 64, 257, 1024})
    for (int variant = 0; variant < num_variants(op()); ++variant) {
      const RowCall call = make_call(op(), dtype(), {7, width, 0}, variant);
      const auto want = run_row_kernel(kernel(), call.views(), call.attrs);
      const size_t num_targets = has_sum(op()) || op() == Op::add ? 2 : 1;
      for (size_t target = 0; target < num_targets; ++target) {
        const RowCall fresh = make_call(op(), dtype(), {7, width, 0}, variant);
        std::vector<TensorView> outputs = {fresh.inputs[target].view()};
        const OwnedTensor y(dtype(), outputs[0].shape);
        if (has_sum(op())) outputs.push_back(y.view());
        run_kernel(kernel(), fresh.views(), outputs, fresh.attrs);
        for (size_t i = 0; i < want.size(); ++i)
          EXPECT_TENSOR_EQ(outputs[i], want[i].view(), 10) << "over input " << target;
      }
    }
}

TEST_P(RowKernels, DoNothingForNoRows) {
  const RowCall call = make_call(op(), dtype(), {1, 8, 0});
  std::vector<TensorView> inputs = call.views();
  for (TensorView& input : inputs)
    if (input.shape.rank() == 2) input = rows_of(input, 0, 0);
  const OwnedTensor sum(dtype(), inputs[0].shape), y(dtype(), inputs[0].shape);
  std::vector<TensorView> outputs = {y.view()};
  if (has_sum(op())) outputs.push_back(sum.view());
  run_kernel(kernel(), inputs, outputs, call.attrs);
}

TEST_P(RowKernels, KeepNaNWhereItBelongs) {
  const int64_t nan_row = 2, nan_column = 66;
  for (const int64_t width : {70, 72})
    for (int variant = 0; variant < num_variants(op()); ++variant) {
      const RowCall call = make_call(op(), dtype(), {5, width, 0}, variant);
      const auto clean = run_row_kernel(kernel(), call.views(), call.attrs, 0);
      const int64_t columns = call.inputs[0].view().shape[1];
      test::set_element(call.inputs[0].view(), nan_row * columns + nan_column, std::nan(""));
      const auto want = test::run_reference(op(), call.views(), call.attrs);
      const auto got = run_row_kernel(kernel(), call.views(), call.attrs, 0);
      int64_t num_nan = 0;
      for (size_t output = 0; output < got.size(); ++output)
        for (int64_t i = 0; i < 5 * columns; ++i) {
          const double y = test::element(got[output].view(), i);
          num_nan += std::isnan(y);
          ASSERT_EQ(std::isnan(y), std::isnan(test::element(want[output].view(), i))) << i;
          if (i / columns == nan_row) continue;
          ASSERT_EQ(y, test::element(clean[output].view(), i)) << i;
        }
      EXPECT_GT(num_nan, 0);
    }
}

/// One scale a row, groups inside a warp or not, groups of no whole chunks, a fixed scale.
constexpr Quantized kQuantized[] = {{"int8", 0, 0},        {"fp8_e4m3", 0, 0}, {"fp8_e4m3", 128, 0},
                                    {"int8", 8, 0},        {"int8", 48, 0},    {"fp8_e4m3", 3, 0},
                                    {"fp8_e4m3", 0, 0.05}, {"int8", 0, 0.02}};

/// The fused op is the op and `quantize`, bit for bit, and so the reference is.
TEST_P(RowKernels, QuantizeTheirOutputAsQuantizeWould) {
  if (!has_codes()) return;
  const ops::Kernel quantize = kernel_named("quantize/rows");
  for (const int64_t width : {33, 384, 8448})
    for (const Quantized& quantized : kQuantized) {
      if (quantized.group > 0 && width % quantized.group != 0) continue;
      if (width > 384 && quantized.group != 0 && quantized.group != 128) continue;
      for (const int64_t gap : {3, 8}) {
        if (width > 384 && gap == 3 && quantized.group != 0) continue;
        const RowCall call = make_call(op(), dtype(), {width > 384 ? 1 : 5, width, gap});
        const auto y = run_row_kernel(kernel(), call.views(), call.attrs, gap);
        const auto got = run_row_kernel(kernel(), call.views(),
                                        with_quantized(call.attrs, "quantize", quantized), gap);
        const auto want =
            run_row_kernel(quantize, {y.back().view()}, with_quantized({}, "format", quantized), 1);
        const size_t codes = got.size() - 2;
        for (size_t i = 0; i < 2; ++i)
          EXPECT_TENSOR_EQ(got[codes + i].view(), want[i].view(), 10)
              << width << " " << quantized.format << " group " << quantized.group;
        if (has_sum(op())) {
          EXPECT_TENSOR_EQ(got[0].view(), y[0].view(), 10);
        }
      }
    }
}

TEST_P(RowKernels, QuantizeWithinTheTolerance) {
  if (!has_codes()) return;
  for (const Quantized& quantized : kQuantized)
    for (int variant = 0; variant < num_variants(op()); ++variant) {
      // A small group may have nothing but numbers where the reference's 1 + erf(x) is zero.
      if (variant > 0 && quantized.group > 0 && quantized.group < 48) continue;
      RowCall call = make_call(op(), dtype(), {3, 384, 0}, variant);
      call.attrs = with_quantized(call.attrs, "quantize", quantized);
      expect_reference(call, run_row_kernel(kernel(), call.views(), call.attrs, 8));
    }
}

std::vector<ops::Kernel> row_kernels() {
  std::vector<ops::Kernel> kernels;
  for (const Op op : kRowOps)
    for (const ops::Kernel& kernel : kernels_of(op)) kernels.push_back(kernel);
  return kernels;
}

INSTANTIATE_TEST_SUITE_P(Cuda, RowKernels,
                         ::testing::Combine(::testing::ValuesIn(row_kernels()),
                                            ::testing::Values(DType::fp32, DType::bf16)),
                         [](const auto& param) {
                           return fmt::format("{}_{}", test_name(std::get<0>(param.param)),
                                              to_string(std::get<1>(param.param)));
                         });

TEST(CudaActivations, MatchTheReferenceAtTheEdgesOfFloat) {
  const std::vector<float> edges = test::activation_edges();
  const auto num_edges = static_cast<int64_t>(edges.size());
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    const OwnedTensor x(dtype, {1, num_edges});
    for (int64_t i = 0; i < num_edges; ++i)
      test::set_element(x.view(), i, edges[static_cast<size_t>(i)]);
    for (int variant = 0; variant < 4; ++variant) {
      const ops::Attrs attrs = make_call(Op::act, dtype, {1, 1, 0}, variant).attrs;
      const auto want = test::run_reference(Op::act, {x.view()}, attrs);
      const auto got = run_row_kernel(kernel_named("act/rows"), {x.view()}, attrs);
      EXPECT_WITHIN_TOLERANCE(Op::act, {x.view()}, want, 0, got[0].view(), attrs, 0)
          << "variant " << variant;
    }
  }
}

TEST(CudaRows, MayBeMoreThanAGridHasInY) {
  const int64_t num_rows = 66000;
  const OwnedTensor a = test::random_tensor(DType::bf16, {num_rows, 1}, 1);
  const OwnedTensor b = test::random_tensor(DType::bf16, {num_rows, 1}, 2);
  const auto want = test::run_reference(Op::add, {a.view(), b.view()}, {});
  const auto got = run_row_kernel(kernel_named("add/rows"), {a.view(), b.view()}, {}, 0);
  EXPECT_TENSOR_EQ(got[0].view(), want[0].view(), 1);
}

}  // namespace
}  // namespace veloz::cuda
