// SPDX-License-Identifier: Apache-2.0
#include "cpu/rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>

#include "kernel_runs.h"
#include "support/edge_values.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::OwnedTensor;
using test::random_tensor;

constexpr Op kRowOps[] = {Op::rms_norm, Op::add_rms_norm, Op::layer_norm, Op::add_layer_norm,
                          Op::add,      Op::act,          Op::gated_act,  Op::rope};

bool is_activation(Op op) { return op == Op::act || op == Op::gated_act; }
bool is_norm(Op op) {
  return op == Op::rms_norm || op == Op::add_rms_norm || op == Op::layer_norm ||
         op == Op::add_layer_norm;
}
bool has_sum(Op op) { return op == Op::add_rms_norm || op == Op::add_layer_norm; }

/// Operands of one call, rows strided.
struct RowCall {
  std::vector<OwnedTensor> inputs;
  ops::Attrs attrs;

  std::vector<TensorView> views() const { return test::views_of(inputs); }
};

int num_variants(Op op) { return is_activation(op) || op == Op::rope ? 4 : 1; }

/// Three heads of about `width` channels: full or partial, in both styles.
RowCall make_rope_call(DType dtype, int64_t num_rows, int64_t width, int variant) {
  const int64_t head_dim = width + width % 2;
  const int64_t rotary_dim = variant < 2 ? head_dim : head_dim / 4 * 2 + 2 * (head_dim < 4);
  const OwnedTensor positions =
      random_tensor(DType::int32, {num_rows}, 3, {.low = 0, .high = 4096});
  RowCall call;
  call.inputs.push_back(random_tensor(dtype, {num_rows, 3 * head_dim}, 1,
                                      {.low = -2, .high = 2, .row_stride = 3 * head_dim + 5}));
  call.inputs.push_back(std::move(test::run_reference(
      Op::rope_angles, {positions.view()},
      {{"rotary_dim", rotary_dim}, {"theta", 10000.0}, {"scaling", std::string("none")}})[0]));
  call.attrs = {{"num_heads", int64_t{3}},
                {"head_dim", head_dim},
                {"style", std::string(variant % 2 == 0 ? "neox" : "interleaved")}};
  return call;
}

RowCall make_call(Op op, DType dtype, int64_t num_rows, int64_t width, int variant = 0) {
  if (op == Op::rope) return make_rope_call(dtype, num_rows, width, variant);
  RowCall call;
  const double reach = is_activation(op) ? 12 : 2;
  const size_t num_matrices = has_sum(op) || op == Op::add || op == Op::gated_act ? 2 : 1;
  for (size_t i = 0; i < num_matrices; ++i)
    call.inputs.push_back(random_tensor(dtype, {num_rows, width}, 10 + i,
                                        {.low = -reach, .high = reach, .row_stride = width + 5}));
  if (is_norm(op)) {
    const bool has_beta = op == Op::layer_norm || op == Op::add_layer_norm;
    for (uint64_t i = 0; i < (has_beta ? 2u : 1u); ++i)
      call.inputs.push_back(random_tensor(DType::fp32, {width}, 20 + i));
    call.attrs = {{"eps", 1e-5}};
  }
  if (is_activation(op))
    call.attrs = {{"act", std::string(ops::to_string(static_cast<ops::Activation>(variant)))}};
  return call;
}

/// Runs a kernel into new outputs, rows strided.
std::vector<OwnedTensor> run_row_kernel(const ops::Kernel& kernel,
                                        const std::vector<TensorView>& inputs,
                                        const ops::Attrs& attrs, int num_threads = 2) {
  std::vector<OwnedTensor> outputs;
  for (int i = 0; i < (has_sum(kernel.op) ? 2 : 1); ++i)
    outputs.emplace_back(inputs[0].dtype, inputs[0].shape, inputs[0].shape[1] + 3);
  run_kernel(kernel, inputs, test::views_of(outputs), attrs, num_threads);
  for (const OwnedTensor& output : outputs) EXPECT_TRUE(output.gaps_untouched());
  return outputs;
}

class RowKernels : public ::testing::TestWithParam<std::tuple<ops::Kernel, DType>> {
 protected:
  const ops::Kernel& kernel() const { return std::get<0>(GetParam()); }
  Op op() const { return kernel().op; }
  DType dtype() const { return std::get<1>(GetParam()); }
};

TEST_P(RowKernels, MatchTheReferenceOnOddShapes) {
  for (const int64_t width : {1, 2, 15, 16, 33, 64, 257, 4096})
    for (const int64_t num_rows : {1, 7, 33}) {
      if (num_rows > 1 && width == 4096) continue;  // tolerances of norms are slow
      for (int variant = 0; variant < num_variants(op()); ++variant) {
        SCOPED_TRACE(fmt::format("{} x {}, variant {}", num_rows, width, variant));
        const RowCall call = make_call(op(), dtype(), num_rows, width, variant);
        const auto want = test::run_reference(op(), call.views(), call.attrs);
        ASSERT_TRUE(accepts(kernel(), call.views(), test::views_of(want), call.attrs, ""));
        const auto got = run_row_kernel(kernel(), call.views(), call.attrs);
        for (size_t i = 0; i < want.size(); ++i)
          EXPECT_WITHIN_TOLERANCE(op(), call.views(), want, i, got[i].view(), call.attrs, 10);
      }
    }
}

TEST_P(RowKernels, RowsDoNotDependOnTheirNeighboursOrOnThreads) {
  const int64_t num_rows = 200;
  for (const int64_t width : {33, 257}) {
    for (int variant = 0; variant < num_variants(op()); ++variant) {
      const RowCall call = make_call(op(), dtype(), num_rows, width, variant);
      const auto together = run_row_kernel(kernel(), call.views(), call.attrs, 1);
      for (const int num_threads : {2, 3, 7}) {
        const auto again = run_row_kernel(kernel(), call.views(), call.attrs, num_threads);
        for (size_t i = 0; i < again.size(); ++i)
          EXPECT_TENSOR_EQ(again[i].view(), together[i].view(), 10) << num_threads << " threads";
      }
      for (const int64_t t : {0, 1, 63, 199}) {
        std::vector<TensorView> row = call.views();
        for (TensorView& input : row)
          if (input.shape.rank() == 2) input = rows_of(input, t, t + 1);
        const auto alone = run_row_kernel(kernel(), row, call.attrs, 3);
        for (size_t i = 0; i < alone.size(); ++i)
          EXPECT_TENSOR_EQ(alone[i].view(), rows_of(together[i].view(), t, t + 1), 10) << t;
      }
    }
  }
}

TEST_P(RowKernels, MayWriteOverTheirInputs) {
  for (const int64_t width : {15, 64, 257})
    for (int variant = 0; variant < num_variants(op()); ++variant) {
      const RowCall call = make_call(op(), dtype(), 7, width, variant);
      const auto want = run_row_kernel(kernel(), call.views(), call.attrs);
      const size_t num_targets = has_sum(op()) || op() == Op::add ? 2 : 1;
      for (size_t target = 0; target < num_targets; ++target) {
        const RowCall fresh = make_call(op(), dtype(), 7, width, variant);
        std::vector<TensorView> outputs = {fresh.inputs[target].view()};
        const OwnedTensor y(dtype(), outputs[0].shape);
        if (has_sum(op())) outputs.push_back(y.view());
        run_kernel(kernel(), fresh.views(), outputs, fresh.attrs);
        for (size_t i = 0; i < want.size(); ++i)
          EXPECT_TENSOR_EQ(outputs[i], want[i].view(), 10) << "over input " << target;
      }
    }
}

TEST_P(RowKernels, NeverLookPastTheEndOfAnyOperand) {
  for (const int64_t width : {1, 31, 66}) {
    for (int variant = 0; variant < num_variants(op()); ++variant) {
      const RowCall call = make_call(op(), dtype(), 3, width, variant);
      const auto want = run_row_kernel(kernel(), call.views(), call.attrs);
      std::vector<std::unique_ptr<test::GuardedTensor>> guarded;
      std::vector<TensorView> inputs, outputs;
      for (const OwnedTensor& input : call.inputs) {
        guarded.push_back(std::make_unique<test::GuardedTensor>(input.view()));
        inputs.push_back(guarded.back()->view());
      }
      for (const OwnedTensor& output : want) {
        const OwnedTensor zeros(output.view().dtype, output.view().shape);
        guarded.push_back(std::make_unique<test::GuardedTensor>(zeros.view()));
        outputs.push_back(guarded.back()->view());
      }
      run_kernel(kernel(), inputs, outputs, call.attrs);
      for (size_t i = 0; i < want.size(); ++i)
        EXPECT_TENSOR_EQ(outputs[i], want[i].view(), 10) << width;
    }
  }
}

TEST_P(RowKernels, DoNothingForNoRows) {
  const RowCall call = make_call(op(), dtype(), 1, 8);
  std::vector<TensorView> inputs = call.views();
  for (TensorView& input : inputs)
    if (input.shape.rank() == 2) input = rows_of(input, 0, 0);
  run_row_kernel(kernel(), inputs, call.attrs);
}

TEST_P(RowKernels, KeepNaNWhereItBelongs) {
  const int64_t width = 70, nan_row = 2, nan_column = 66;
  for (int variant = 0; variant < num_variants(op()); ++variant) {
    const RowCall call = make_call(op(), dtype(), 5, width, variant);
    const auto clean = run_row_kernel(kernel(), call.views(), call.attrs);
    const int64_t columns = call.inputs[0].view().shape[1];
    test::set_element(call.inputs[0].view(), nan_row * columns + nan_column, std::nan(""));
    const auto want = test::run_reference(op(), call.views(), call.attrs);
    const auto got = run_row_kernel(kernel(), call.views(), call.attrs);
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

struct Quantized {
  std::string_view format;
  int64_t group;  // 0: one scale a row
  double scale;   // 0: from the row
};
constexpr Quantized kQuantized[] = {
    {"int8", 0, 0}, {"fp8_e4m3", 0, 0}, {"fp8_e4m3", 33, 0}, {"int8", 0, 0.02}};

/// `attrs` of an op, or of `quantize`, with what `quantized` asks for.
ops::Attrs with_quantized(ops::Attrs attrs, const std::string& format_attr,
                          const Quantized& quantized) {
  attrs.set(format_attr, std::string(quantized.format));
  if (quantized.group > 0) attrs.set("group", quantized.group);
  if (quantized.scale > 0) attrs.set("scale", quantized.scale);
  return attrs;
}

/// Outputs by the op's shape rule, codes strided.
std::vector<OwnedTensor> quantized_outputs(Op op, const RowCall& call, const ops::Attrs& attrs) {
  std::vector<OwnedTensor> outputs;
  for (const ops::ValueType& type : test::infer_outputs(op, call.views(), attrs)) {
    const Shape shape = type.bind({});
    outputs.emplace_back(type.dtype, shape, shape[1] + 3);
  }
  return outputs;
}

/// The fused op is the op and `quantize`, bit for bit, and so the reference is.
TEST_P(RowKernels, QuantizeTheirOutputAsQuantizeWould) {
  if (op() == Op::add || op() == Op::rope) return;  // have no such attribute
  const std::string isa(kernel().name.substr(kernel().name.find('/')));
  const std::vector<ops::Kernel> all = kernels_of(Op::quantize);
  const auto quantize = std::ranges::find(all, "quantize" + isa, &ops::Kernel::name);
  ASSERT_NE(quantize, all.end());
  for (const int64_t width : {33, 264})
    for (const int64_t num_rows : {1, 70})
      for (const Quantized& quantized : kQuantized) {
        const RowCall call = make_call(op(), dtype(), num_rows, width);
        const auto y = run_row_kernel(kernel(), call.views(), call.attrs);
        const ops::Attrs attrs = with_quantized(call.attrs, "quantize", quantized);
        const auto got = quantized_outputs(op(), call, attrs);
        const auto want = quantized_outputs(op(), call, attrs);
        ASSERT_TRUE(accepts(kernel(), call.views(), test::views_of(got), attrs, ""));
        run_kernel(kernel(), call.views(), test::views_of(got), attrs, 3);
        const std::vector<TensorView> views = test::views_of(want);
        run_kernel(*quantize, {y.back().view()}, {views[views.size() - 2], views.back()},
                   with_quantized({}, "format", quantized));
        for (size_t i = want.size() - 2; i < want.size(); ++i)
          EXPECT_TENSOR_EQ(got[i].view(), want[i].view(), 10) << width;
        if (has_sum(op())) {
          EXPECT_TENSOR_EQ(got[0].view(), y[0].view(), 10);
        }
        for (const OwnedTensor& output : got) EXPECT_TRUE(output.gaps_untouched());
      }
}

TEST_P(RowKernels, QuantizeWithinTheTolerance) {
  if (op() == Op::add || op() == Op::rope) return;
  for (const Quantized& quantized : kQuantized) {
    const RowCall call = make_call(op(), dtype(), 5, 66);
    const ops::Attrs attrs = with_quantized(call.attrs, "quantize", quantized);
    const auto want = test::run_reference(op(), call.views(), attrs);
    const auto got = quantized_outputs(op(), call, attrs);
    run_kernel(kernel(), call.views(), test::views_of(got), attrs);
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT_WITHIN_TOLERANCE(op(), call.views(), want, i, got[i].view(), attrs, 10);
  }
}

std::vector<ops::Kernel> row_kernels() {
  std::vector<ops::Kernel> kernels;
  for (const Op op : kRowOps)
    for (const ops::Kernel& kernel : kernels_of(op)) kernels.push_back(kernel);
  return kernels;
}

INSTANTIATE_TEST_SUITE_P(All, RowKernels,
                         ::testing::Combine(::testing::ValuesIn(row_kernels()),
                                            ::testing::Values(DType::fp32, DType::bf16)),
                         [](const auto& test) {
                           return fmt::format("{}_{}", test_name(std::get<0>(test.param)),
                                              to_string(std::get<1>(test.param)));
                         });

TEST(ActivationKernels, MatchTheReferenceAtTheEdgesOfFloat) {
  const std::vector<float> edges = test::activation_edges();
  const auto num_edges = static_cast<int64_t>(edges.size());
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    const OwnedTensor x(dtype, {1, num_edges});
    for (int64_t i = 0; i < num_edges; ++i)
      test::set_element(x.view(), i, edges[static_cast<size_t>(i)]);
    for (const ops::Kernel& kernel : kernels_of(Op::act))
      for (int variant = 0; variant < 4; ++variant) {
        const ops::Attrs attrs = make_call(Op::act, dtype, 1, 1, variant).attrs;
        const auto want = test::run_reference(Op::act, {x.view()}, attrs);
        const auto got = run_row_kernel(kernel, {x.view()}, attrs);
        EXPECT_WITHIN_TOLERANCE(Op::act, {x.view()}, want, 0, got[0].view(), attrs, 0)
            << kernel.name << " variant " << variant;
      }
  }
}

/// An engine gives the same tokens on every instruction set with fused multiply-adds.
TEST(RowClasses, FusedKernelsAgreeBitForBit) {
  for (const Op op : kRowOps)
    for (const DType dtype : {DType::bf16, DType::fp32})
      for (int variant = 0; variant < num_variants(op); ++variant) {
        const RowCall call = make_call(op, dtype, 5, 299, variant);
        std::vector<std::vector<OwnedTensor>> results;
        for (const ops::Kernel& kernel : kernels_of(op)) {
          if (kernel.name.ends_with("portable")) continue;
          results.push_back(run_row_kernel(kernel, call.views(), call.attrs));
          for (size_t i = 0; i < results.back().size(); ++i)
            EXPECT_TENSOR_EQ(results.back()[i].view(), results.front()[i].view(), 10)
                << kernel.name;
        }
      }
}

}  // namespace
}  // namespace veloz::cpu
