// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/dummy_values.h"
#include "engine/plan.h"

namespace veloz::runtime {

/// How each weight of an engine that holds none is made: matrices are uniform with variance
/// 1 / columns, codes with the scales that give them that, so activations neither grow nor vanish;
/// gains are 1, biases 0, permutations leave all where it is. One entry per weight of the plan.
std::vector<DummyValues> dummy_weights(const engine::Plan& plan, uint64_t seed);

}  // namespace veloz::runtime
