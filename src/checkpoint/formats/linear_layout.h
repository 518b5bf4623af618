// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/write_checkpoint.h"

namespace veloz::checkpoint {

/// One tensor of a linear in the layout of a format.
struct LinearPart {
  std::string name;  // "weight_scale"
  DType dtype = DType::fp32;
  Shape shape;
  std::span<const std::byte> data;  // of `owned`, or of the canonical tensors
  std::vector<std::byte> owned;
};

/// A linear as the tensors of a format, with what the format says of it elsewhere.
struct LinearLayout {
  std::vector<LinearPart> parts;
  std::string kind;            // compressed-tensors: format; ModelOpt: quant_algo
  bool is_per_tensor = false;  // one weight scale for all
};

/// Throws Error(unsupported) for a scheme the format has no layout for, Error(invalid_input) for
/// scales that are negative or no numbers. The result reads `tensors`.
LinearLayout to_compressed_tensors(std::string_view module, const LinearScheme& scheme,
                                   const CanonicalLinear& tensors);
LinearLayout to_modelopt(std::string_view module, const LinearScheme& scheme,
                         const CanonicalLinear& tensors);

}  // namespace veloz::checkpoint
