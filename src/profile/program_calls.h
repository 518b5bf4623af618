// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "engine/plan.h"
#include "ops/op.h"

namespace veloz::profile {

/// Calls f(step, call) for each step of a program in order, with operands that have types and
/// shapes and no memory: enough for costs and sizes.
void for_each_call(const engine::Program& program, const ops::Binding& binding,
                   const std::function<void(size_t step, const ops::OpCall& call)>& f);

/// Whether there is nothing to do: the session leaves such a step out.
bool is_empty(const ops::OpCall& call);

}  // namespace veloz::profile
