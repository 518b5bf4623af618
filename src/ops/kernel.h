// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/device.h"
#include "base/thread_pool.h"
#include "ops/op.h"

namespace veloz::ops {

/// What a kernel runs on. On the CPU `pool` is the team of threads; on CUDA work is enqueued on
/// `stream`.
struct OpContext {
  ThreadPool* pool = nullptr;
  Stream* stream = nullptr;
  std::span<std::byte> workspace;  // at least Kernel::workspace_bytes of this call, 64-byte aligned
};

/// Operand types by which a kernel is chosen, once, at load.
struct KernelQuery {
  Op op;
  std::span<const ValueType> inputs;
  std::span<const ValueType> outputs;
  const Attrs& attrs;
  std::string_view weight_layout = {};  // "" where the op has no packed weight
};

/// One implementation of an op for one device.
struct Kernel {
  std::string_view name;  // "linear/avx512_bf16"
  Op op;
  bool (*accepts)(const KernelQuery&);
  void (*run)(OpContext&, const OpCall&) noexcept;
  /// Scratch bytes for a call of this size, monotone in every extent; null where none is needed.
  size_t (*workspace_bytes)(const OpCall&, int num_threads) = nullptr;
  /// Called once for each step it was chosen for, while the device has memory to spare: tries out
  /// what is fastest for calls with extents up to `most`. Returns sentences for the user.
  std::vector<std::string> (*prepare)(Stream&, const KernelQuery&, const Binding& most) = nullptr;
};

/// Rows [row_begin, row_end) of a matrix weight on their way into or out of a packed layout.
struct PackRange {
  DType dtype;
  Shape shape;        // logical, [rows, columns]; rank 1 only in layout "plain"
  int64_t row_begin;  // multiples of the layout's row_granularity (row_end may be the last row)
  int64_t row_end;
};

/// How a weight's elements lie in memory. Plain C++, so an engine for any target is built on any
/// machine.
struct WeightLayout {
  std::string_view name;  // "plain", "n16k2_bf16"
  DType dtype;
  int64_t row_granularity;  // rows that are packed together
  size_t (*packed_bytes)(const Shape& shape);
  /// Byte where the panel of `row_begin` starts; rows of one panel are contiguous in packed form.
  size_t (*packed_offset)(const Shape& shape, int64_t row_begin);
  /// plain [row_end - row_begin, columns] -> packed, from packed_offset(row_begin) on. Padding is
  /// zero.
  void (*pack)(const PackRange& range, const std::byte* plain, std::byte* packed);
  void (*unpack)(const PackRange& range, const std::byte* packed, std::byte* plain);
  /// Layout of the weight's scales and zeros, which are [rows, groups].
  std::string_view companion = "plain";
};

/// The kernels and layouts of one device, best first within an op. Filled once, then read only.
class KernelRegistry {
 public:
  KernelRegistry(std::vector<Kernel> kernels, std::vector<WeightLayout> layouts);

  /// The same, able to unpack weights of engines that were built for another target.
  KernelRegistry with_foreign_layouts(std::vector<WeightLayout> layouts) const;

  /// The first kernel that accepts the query. Throws Error(unsupported) that names op, dtypes and
  /// layout.
  const Kernel& choose(const KernelQuery& query) const;
  /// Throws Error(unsupported) for an unknown layout or a dtype it does not hold, with those known.
  /// Foreign ones are known too.
  const WeightLayout& layout(std::string_view name, DType dtype) const;
  std::span<const Kernel> kernels() const { return kernels_; }
  /// Layouts of the kernels' own device.
  std::span<const WeightLayout> layouts() const { return layouts_; }

 private:
  std::vector<Kernel> kernels_;
  std::vector<WeightLayout> layouts_;
  std::vector<WeightLayout> foreign_layouts_;
};

/// The reference implementation of every op as a kernel "<op>/reference": accepts what its shape
/// rule accepts, with weights in layout "plain".
std::vector<Kernel> reference_kernels();
/// The layout "plain" for one dtype per entry: row-major, as in a checkpoint.
std::vector<WeightLayout> plain_layouts();

/// Adapts a typed front, `void rms_norm(OpContext&, const RmsNormArgs&) noexcept`, to Kernel::run.
template <typename Args, void (*front)(OpContext&, const Args&) noexcept>
void run_typed(OpContext& context, const OpCall& call) noexcept {
  front(context, Args::from(call));
}

}  // namespace veloz::ops
