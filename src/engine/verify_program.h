// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "engine/plan.h"

namespace veloz::engine {

// The parts of verify_plan. All throw Error(corrupt_data).

inline constexpr uint64_t kMaxValueBytes = uint64_t{1} << 46;

[[noreturn]] void refuse(std::string message);

/// Bytes of a value under a binding; refuses absurd extents and sizes. `what` names the value.
uint64_t checked_bytes(const ops::ValueType& type, const ops::Binding& binding,
                       const std::string& what);

/// Type of a weight's logical values.
ops::ValueType type_of(const PlanWeight& weight);

/// Walks one program as a session runs it. Limits, weights and states are verified already.
void verify_program(const Plan& plan, const Program& program);

}  // namespace veloz::engine
