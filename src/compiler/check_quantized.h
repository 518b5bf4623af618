// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/tensor_view.h"
#include "checkpoint/tensor_source.h"
#include "graph/graph.h"

namespace veloz::compiler {

/// A matrix and what lies beside it, where a quantized linear reads them.
struct QuantizedOperands {
  graph::ValueId codes{};
  graph::ValueId scales{};
  std::optional<graph::ValueId> zeros;
};
/// By their scales.
std::map<graph::ValueId, QuantizedOperands> quantized_operands(const graph::Graph& graph);

/// Tensors of one segment of a quantized matrix.
struct QuantizedSegment {
  std::string codes;
  std::string scales;
  std::string zeros;  // "" where there are none
};

/// Rows [row_begin, ...) of a segment's scales, as read: throws Error(invalid_input) for one that
/// is not finite or, of fp8 codes, below zero, and for one of zero whose codes mean other weights
/// than zero (they are looked up in `source`).
void check_scales(const TensorView& scales, int64_t row_begin, const QuantizedSegment& segment,
                  const checkpoint::TensorSource& source);

/// Throws Error(invalid_input) where these are not all indices from 0 on, each once.
void check_permutation(const TensorView& indices, const std::string& tensor);

}  // namespace veloz::compiler
