// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/quantize/model_structure.h"
#include "compress/quantize/tensor_set.h"

namespace veloz::compress {

/// What each row of the group's producer is divided by where `scales` are folded into it.
std::vector<float> producer_factors(const InputGroup& group, std::span<const float> scales);

/// Divides the input of a group by `scales` (one a column) where it is made and multiplies the
/// columns of its linears, in `tensors`, so that the linears give what they gave. A norm's gain is
/// rounded to its dtype at once and the columns follow the rounded gain: no error stays behind.
/// Adds the names of what it changed. Returns the scales as they came out. `group.fold` is not
/// none.
std::vector<float> fold_scales(const InputGroup& group, std::span<const float> scales,
                               const std::function<DType(std::string_view tensor)>& dtype_of,
                               TensorSet& tensors, std::set<std::string>& changed);

}  // namespace veloz::compress
