// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ops/kernel.h"
#include "ops/op.h"
#include "support/tensors.h"

/// Runs ops and holds kernels against their references. In short:
///
///   const std::vector<TensorView> inputs = {x.view(), w.view()};       // weights "plain"
///   const std::vector<OwnedTensor> want = run_reference(Op::rms_norm, inputs, attrs);
///   ... run the kernel into `y` ...
///   EXPECT_WITHIN_TOLERANCE(Op::rms_norm, inputs, want, 0, y.view(), attrs, seed);
///
/// run_reference takes output types from the op's shape rule, so it checks the call as well.
namespace veloz::test {

inline std::vector<TensorView> views_of(const std::vector<OwnedTensor>& tensors) {
  std::vector<TensorView> views;
  for (const OwnedTensor& tensor : tensors) views.push_back(tensor.view());
  return views;
}

inline ops::ValueType type_of(const TensorView& view) {
  ops::ValueType type{view.dtype, {}};
  for (const int64_t extent : view.shape.dims()) type.dims.emplace_back(extent);
  return type;
}

/// Types of the outputs by the op's shape rule.
inline std::vector<ops::ValueType> infer_outputs(ops::Op op, const std::vector<TensorView>& inputs,
                                                 const ops::Attrs& attrs) {
  std::vector<ops::ValueType> types;
  for (const TensorView& view : inputs) types.push_back(type_of(view));
  return ops::op_def(op).infer({.inputs = types, .attrs = attrs});
}

/// The same for operands and attributes given as text.
inline std::vector<ops::ValueType> infer_types(ops::Op op, const std::vector<std::string>& inputs,
                                               std::string_view attrs) {
  std::vector<ops::ValueType> types;
  for (const std::string& text : inputs) types.push_back(ops::parse_value_type(text));
  return ops::op_def(op).infer({.inputs = types, .attrs = ops::parse_attrs(attrs)});
}

/// Runs the reference into `outputs` (views may alias inputs where the op allows it).
inline void run_reference_into(ops::Op op, const std::vector<TensorView>& inputs,
                               const std::vector<TensorView>& outputs, const ops::Attrs& attrs) {
  const ops::OpCall call{.inputs = inputs, .outputs = outputs, .attrs = attrs};
  const ops::OpDef& def = ops::op_def(op);
  std::vector<std::byte> workspace(
      def.workspace_bytes == nullptr ? 0 : def.workspace_bytes(call, 1) + 64);
  void* aligned = workspace.data();
  size_t space = workspace.size();
  if (space > 0) std::align(64, space - 64, aligned, space);
  ops::OpContext context{.workspace = {static_cast<std::byte*>(aligned), space}};
  def.reference(context, call);
}

/// Runs the reference into fresh contiguous outputs. No rows: shape rules want extents >= 1, so
/// give `outputs` of your own to run_reference_into for T = 0.
inline std::vector<OwnedTensor> run_reference(ops::Op op, const std::vector<TensorView>& inputs,
                                              const ops::Attrs& attrs = {}) {
  std::vector<OwnedTensor> outputs;
  for (const ops::ValueType& type : infer_outputs(op, inputs, attrs))
    outputs.emplace_back(type.dtype, type.bind({}));
  if (ops::op_def(op).threads_state) outputs[0] = copy_of(inputs[0]);
  run_reference_into(op, inputs, views_of(outputs), attrs);
  return outputs;
}

/// `actual` against output `output` of the reference's, within the tolerance that the op declares.
inline ::testing::AssertionResult within_tolerance(ops::Op op, std::vector<TensorView> inputs,
                                                   const std::vector<OwnedTensor>& reference,
                                                   size_t output, const TensorView& actual,
                                                   const ops::Attrs& attrs, uint64_t seed) {
  const std::vector<TensorView> outputs = views_of(reference);
  const ops::OpCall call{.inputs = inputs, .outputs = outputs, .attrs = attrs};
  const auto tolerance = ops::op_def(op).tolerance;
  const int64_t columns = TensorView::contiguous_row_stride(actual.shape);
  return compare_tensors(
      actual, outputs[output],
      [&](int64_t i) {
        return tolerance == nullptr ? 0.0 : tolerance(call, output, i / columns, i % columns);
      },
      seed);
}

#define EXPECT_WITHIN_TOLERANCE(op, inputs, reference, output, actual, attrs, seed) \
  EXPECT_TRUE(::veloz::test::within_tolerance(op, inputs, reference, output, actual, attrs, seed))

}  // namespace veloz::test
