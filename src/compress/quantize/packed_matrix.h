// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/device.h"
#include "base/tensor_view.h"
#include "compress/machine.h"

namespace veloz::compress {

/// An fp32 matrix packed for the machine's best `linear`: the one matrix product of calibration. An
/// element of a product depends on its row and its column alone, so threads do not show.
class PackedMatrix {
 public:
  /// w [N, K] fp32; rows may be strided.
  PackedMatrix(const TensorView& w, const Machine& machine);

  /// y = x w^T (+ bias): x [T, K], y [T, N], bias [N] or without data.
  void multiply(const TensorView& x, const TensorView& bias, const TensorView& y) const;

 private:
  const Machine machine_;
  Shape shape_;  // [N, K]
  const ops::WeightLayout* layout_;
  Buffer packed_;
};

}  // namespace veloz::compress
