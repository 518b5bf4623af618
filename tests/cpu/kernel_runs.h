// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/numeric.h"
#include "cpu/features.h"
#include "cpu/kernels.h"
#include "ops/kernel.h"
#include "support/isas.h"
#include "support/op_runs.h"
#include "support/tensors.h"

/// Runs the CPU's kernels on plain tensors: packs the weight, brings workspace and threads.
namespace veloz::cpu {

using test::runnable_isas;

/// Of the kernels' names, which end in their dtype.
inline DType dtype_of(const ops::Kernel& kernel) {
  return kernel.name.find("fp32") != std::string_view::npos ? DType::fp32 : DType::bf16;
}

inline bool is_reference(const ops::Kernel& kernel) { return kernel.name.ends_with("/reference"); }

/// Every fast kernel of an op that this machine can run, once.
inline std::vector<ops::Kernel> kernels_of(ops::Op op) {
  std::vector<ops::Kernel> kernels;
  for (const Isa isa : runnable_isas()) {
    const ops::KernelRegistry registry = make_registry(isa);
    for (const ops::Kernel& kernel : registry.kernels())
      if (kernel.op == op && !is_reference(kernel) &&
          std::ranges::find(kernels, kernel.name, &ops::Kernel::name) == kernels.end())
        kernels.push_back(kernel);
  }
  return kernels;
}

/// "linear_avx512_fp32": gtest wants identifiers.
inline std::string test_name(const ops::Kernel& kernel) {
  std::string name(kernel.name);
  for (char& c : name)
    if (c == '/') c = '_';
  return name;
}

/// A matrix in a packed layout, with memory of its own.
class PackedTensor {
 public:
  PackedTensor(const TensorView& plain, const ops::WeightLayout& layout)
      : bytes_(DType::uint8, {static_cast<int64_t>(layout.packed_bytes(plain.shape))}) {
    // Packing must write every byte, the padding too.
    std::memset(bytes_.view().data, 0xA5, bytes_.view().num_bytes());
    layout.pack({plain.dtype, plain.shape, 0, plain.shape[0]}, plain.as<const std::byte>(),
                bytes_.view().as<std::byte>());
    view_ = TensorView(bytes_.view().data, plain.dtype, plain.shape);
  }
  /// Logical shape, packed bytes.
  const TensorView& view() const { return view_; }
  const TensorView& bytes() const { return bytes_.view(); }

 private:
  test::OwnedTensor bytes_;
  TensorView view_;
};

/// Whether a kernel takes a call with its weight in `layout` ("" for none).
inline bool accepts(const ops::Kernel& kernel, const std::vector<TensorView>& inputs,
                    const std::vector<TensorView>& outputs, const ops::Attrs& attrs,
                    std::string_view layout) {
  std::vector<ops::ValueType> input_types, output_types;
  for (const TensorView& view : inputs) input_types.push_back(test::type_of(view));
  for (const TensorView& view : outputs) output_types.push_back(test::type_of(view));
  return kernel.accepts({kernel.op, input_types, output_types, attrs, layout});
}

/// Runs a kernel into `outputs` on `num_threads`, with a workspace of exactly the bytes it asked
/// for, filled with NaN patterns.
inline void run_kernel(const ops::Kernel& kernel, const std::vector<TensorView>& inputs,
                       const std::vector<TensorView>& outputs, const ops::Attrs& attrs = {},
                       int num_threads = 2) {
  const ops::OpCall call{.inputs = inputs, .outputs = outputs, .attrs = attrs};
  const size_t bytes =
      kernel.workspace_bytes == nullptr ? 0 : kernel.workspace_bytes(call, num_threads);
  // Ends where an unreadable page begins, give or take its alignment.
  const test::OwnedTensor filled(DType::uint8,
                                 {round_up(static_cast<int64_t>(bytes), int64_t{64})});
  std::memset(filled.view().data, 0xFF, filled.view().num_bytes());
  const test::GuardedTensor workspace(filled.view());
  ThreadPool pool(num_threads);
  ops::OpContext context{.pool = &pool, .workspace = {workspace.view().as<std::byte>(), bytes}};
  kernel.run(context, call);
}

/// First `rows` rows.
inline TensorView rows_of(const TensorView& view, int64_t begin, int64_t end) {
  Shape shape = view.shape;
  shape[0] = end - begin;
  return TensorView(
      view.as<char>() + begin * view.row_stride * static_cast<int64_t>(dtype_bytes(view.dtype)),
      view.dtype, shape, view.row_stride);
}

}  // namespace veloz::cpu
