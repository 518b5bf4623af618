// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "cuda/cuda_runs.h"
#include "ops/activation.h"

/// Calls of the ops that work on one row at a time, for their tests.
namespace veloz::cuda {

inline bool is_activation(ops::Op op) { return op == ops::Op::act || op == ops::Op::gated_act; }
inline bool is_norm(ops::Op op) {
  return op == ops::Op::rms_norm || op == ops::Op::add_rms_norm || op == ops::Op::layer_norm ||
         op == ops::Op::add_layer_norm;
}
inline bool has_sum(ops::Op op) {
  return op == ops::Op::add_rms_norm || op == ops::Op::add_layer_norm;
}
inline int num_variants(ops::Op op) { return is_activation(op) || op == ops::Op::rope ? 4 : 1; }

struct RowCall {
  std::vector<test::OwnedTensor> inputs;
  ops::Attrs attrs;

  std::vector<TensorView> views() const { return test::views_of(inputs); }
};

struct RowExtents {
  int64_t num_rows;
  int64_t width;
  int64_t gap;  // between rows: 0, or what does or does not leave them aligned
};

/// Three heads of about `width` channels: full or partial, in both styles.
inline RowCall make_rope_call(DType dtype, const RowExtents& extents, int variant) {
  const int64_t head_dim = extents.width + extents.width % 2;
  const int64_t rotary_dim = variant < 2 ? head_dim : head_dim / 4 * 2 + 2 * (head_dim < 4);
  const test::OwnedTensor positions =
      test::random_tensor(DType::int32, {extents.num_rows}, 3, {.low = 0, .high = 4096});
  RowCall call;
  call.inputs.push_back(
      test::random_tensor(dtype, {extents.num_rows, 3 * head_dim}, 1,
                          {.low = -2, .high = 2, .row_stride = 3 * head_dim + extents.gap}));
  call.inputs.push_back(std::move(test::run_reference(
      ops::Op::rope_angles, {positions.view()},
      {{"rotary_dim", rotary_dim}, {"theta", 10000.0}, {"scaling", std::string("none")}})[0]));
  call.attrs = {{"num_heads", int64_t{3}},
                {"head_dim", head_dim},
                {"style", std::string(variant % 2 == 0 ? "neox" : "interleaved")}};
  return call;
}

inline RowCall make_call(ops::Op op, DType dtype, const RowExtents& extents, int variant = 0) {
  if (op == ops::Op::rope) return make_rope_call(dtype, extents, variant);
  RowCall call;
  const double reach = is_activation(op) ? 12 : 2;
  const size_t num_matrices = has_sum(op) || op == ops::Op::add || op == ops::Op::gated_act ? 2 : 1;
  for (size_t i = 0; i < num_matrices; ++i)
    call.inputs.push_back(test::random_tensor(
        dtype, {extents.num_rows, extents.width}, 10 + i,
        {.low = -reach, .high = reach, .row_stride = extents.width + extents.gap}));
  if (is_norm(op)) {
    const bool has_beta = op == ops::Op::layer_norm || op == ops::Op::add_layer_norm;
    for (uint64_t i = 0; i < (has_beta ? 2u : 1u); ++i)
      call.inputs.push_back(test::random_tensor(DType::fp32, {extents.width}, 20 + i));
    call.attrs = {{"eps", 1e-5}};
  }
  if (is_activation(op))
    call.attrs = {{"act", std::string(ops::to_string(static_cast<ops::Activation>(variant)))}};
  return call;
}

/// Runs a kernel into new outputs of the types its shape rule gives, `gap` elements between rows.
inline std::vector<test::OwnedTensor> run_row_kernel(const ops::Kernel& kernel,
                                                     const std::vector<TensorView>& inputs,
                                                     const ops::Attrs& attrs, int64_t gap = 3) {
  std::vector<test::OwnedTensor> outputs;
  for (const ops::ValueType& type : test::infer_outputs(kernel.op, inputs, attrs)) {
    const Shape shape = type.bind({});
    outputs.emplace_back(type.dtype, shape, TensorView::contiguous_row_stride(shape) + gap);
  }
  EXPECT_TRUE(accepts(kernel, inputs, test::views_of(outputs), attrs));
  run_kernel(kernel, inputs, test::views_of(outputs), attrs);
  return outputs;
}

/// How a row is quantized.
struct Quantized {
  std::string_view format;
  int64_t group;  // 0: one scale a row
  double scale;   // 0: from the row
};

/// `attrs` of an op, or of `quantize`, with what `quantized` asks for.
inline ops::Attrs with_quantized(ops::Attrs attrs, const std::string& format_attr,
                                 const Quantized& quantized) {
  attrs.set(format_attr, std::string(quantized.format));
  if (quantized.group > 0) attrs.set("group", quantized.group);
  if (quantized.scale > 0) attrs.set("scale", quantized.scale);
  return attrs;
}

}  // namespace veloz::cuda
