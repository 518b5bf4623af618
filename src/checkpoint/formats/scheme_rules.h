// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/quantization.h"

namespace veloz::checkpoint {

/// Throws Error(unsupported) naming the module where no op computes such a linear
/// (ops/quantized_linear.h), Error(invalid_input) for groups that do not divide its columns.
void check_scheme(const std::string& module, const LinearScheme& scheme, int64_t columns);

/// The group size of a config, where -1 is the whole row, as LinearScheme has it: 0 for that, and
/// where one group is the row.
int64_t normalized_group(int64_t group_size, int64_t columns);

/// The order of columns in which each group's lie together, within a group as they were; empty
/// where they lie so already. group_of[k] is the group of column k (g_idx). Throws
/// Error(invalid_input) where a group has not just `group` columns.
std::vector<int32_t> permutation_of(const std::string& tensor, const std::vector<int32_t>& group_of,
                                    int64_t group);

/// What a plan is called: "fp8 (modelopt)", "int4 + int8 (compressed-tensors)".
std::string plan_name(const QuantPlan& plan, const std::string& method);

}  // namespace veloz::checkpoint
