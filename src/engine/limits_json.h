// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/json_fields.h"
#include "engine/plan.h"

namespace veloz::engine {

/// Limits as both engine.json and plan.json hold them.
nlohmann::ordered_json limits_json(const Limits& limits);
Limits parse_limits(const JsonNode& node);

/// Throws Error(corrupt_data) where a limit is absurd.
void verify_limits(const Limits& limits);

/// Compact JSON on one line; what is no UTF-8 is replaced.
std::string dump_line(const nlohmann::ordered_json& value);

}  // namespace veloz::engine
