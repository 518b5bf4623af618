// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/packed_matrix.h"

#include <array>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::compress {
namespace {

ops::ValueType type_of(const TensorView& view) {
  ops::ValueType type{view.dtype, {}};
  for (const int64_t extent : view.shape.dims()) type.dims.emplace_back(extent);
  return type;
}

/// The fp32 layout whose `linear` stands first in the machine's list.
const ops::WeightLayout& best_layout(const ops::KernelRegistry& registry) {
  const std::array<ops::ValueType, 2> inputs = {ops::ValueType{DType::fp32, {ops::Symbol::T, 1}},
                                                ops::ValueType{DType::fp32, {1, 1}}};
  const std::array<ops::ValueType, 1> outputs = {inputs[0]};
  const ops::Attrs attrs;
  for (const ops::Kernel& kernel : registry.kernels()) {
    if (kernel.op != ops::Op::linear) continue;
    for (const ops::WeightLayout& layout : registry.layouts())
      if (layout.dtype == DType::fp32 &&
          kernel.accepts({ops::Op::linear, inputs, outputs, attrs, layout.name}))
        return layout;
  }
  throw Error(ErrorKind::unsupported, "this machine has no kernel for fp32 matrices", "");
}

}  // namespace

PackedMatrix::PackedMatrix(const TensorView& w, const Machine& machine)
    : machine_(machine),
      shape_(w.shape),
      layout_(&best_layout(machine.registry)),
      packed_(machine.device.allocate(std::max<size_t>(layout_->packed_bytes(w.shape), 1))) {
  const size_t row_bytes = static_cast<size_t>(w.shape[1]) * sizeof(float);
  machine.pool.for_range(shape_[0], layout_->row_granularity, [&](int64_t begin, int64_t end) {
    std::vector<std::byte> plain(static_cast<size_t>(end - begin) * row_bytes);
    for (int64_t n = begin; n < end; ++n)
      std::memcpy(plain.data() + static_cast<size_t>(n - begin) * row_bytes, w.row<float>(n),
                  row_bytes);
    layout_->pack({DType::fp32, shape_, begin, end}, plain.data(),
                  static_cast<std::byte*>(packed_.data()) + layout_->packed_offset(shape_, begin));
  });
}

void PackedMatrix::multiply(const TensorView& x, const TensorView& bias,
                            const TensorView& y) const {
  if (x.shape[0] == 0) return;
  std::vector<TensorView> inputs = {x, {packed_.data(), DType::fp32, shape_}};
  if (bias.data != nullptr) inputs.push_back(bias);
  std::vector<ops::ValueType> input_types;
  input_types.reserve(inputs.size());
  for (const TensorView& view : inputs) input_types.push_back(type_of(view));
  const std::array<ops::ValueType, 1> output_types = {type_of(y)};
  const ops::Attrs attrs;
  const ops::Kernel& kernel =
      machine_.registry.choose({ops::Op::linear, input_types, output_types, attrs, layout_->name});

  const std::array<TensorView, 1> outputs = {y};
  const ops::OpCall call{inputs, outputs, attrs};
  Buffer workspace;
  if (kernel.workspace_bytes != nullptr)
    workspace = machine_.device.allocate(
        std::max<size_t>(kernel.workspace_bytes(call, machine_.pool.num_threads()), 1));
  ops::OpContext context{
      .pool = &machine_.pool,
      .stream = nullptr,
      .workspace = {static_cast<std::byte*>(workspace.data()), workspace.bytes()}};
  kernel.run(context, call);
}

}  // namespace veloz::compress
