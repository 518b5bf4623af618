// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/device.h"
#include "engine/plan.h"
#include "runtime/batch.h"

namespace veloz::runtime {

/// The inputs of a step, back to back in one piece of host memory and its twin on the device, so
/// that a step costs one copy; behind them what feeds its tokens. Where each lies follows from the
/// extents of the step alone.
class StepInputs {
 public:
  /// `binding` has the largest extents of any step. `program` and `device` outlive this.
  StepInputs(const engine::Program& program, const ops::Binding& binding, Device& device);

  /// Addresses on the device in a step of these extents, one per input of the program.
  std::span<void* const> place(const ops::Binding& binding);
  /// Copies the arrays of a batch of the extents last placed, and its feeds where the device reads
  /// them. The stream must be past the copy before the last one.
  void upload(const Batch& batch, Stream& stream);
  /// What op feed_tokens takes of the batch uploaded last: its tokens, and its feeds.
  TensorView tokens(const Batch& batch) const;
  TensorView feeds(const Batch& batch) const;

 private:
  size_t lay_out(const ops::Binding& binding);

  const engine::Program& program_;
  Device& device_;
  std::vector<std::string_view> names_;
  std::vector<size_t> offsets_;
  std::vector<void*> addresses_;
  size_t used_bytes_ = 0;
  std::array<Buffer, 2> host_;  // in turn: one may still be on its way while the other is filled
  size_t turn_ = 0;
  Buffer on_device_;
};

}  // namespace veloz::runtime
