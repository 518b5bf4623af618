// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api/backend.h"
#include "engine/engine.h"
#include "serving/cost_model.h"

namespace veloz::api {

/// What a step of the engine costs on this machine, as far as the plan's arithmetic and bytes and
/// peaks measured now (for some 100 ms) tell.
serving::CostCoefficients estimate_step_costs(const engine::Engine& engine, Backend& backend);

}  // namespace veloz::api
