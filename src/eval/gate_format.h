// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "eval/gate_report.h"

namespace veloz::eval {

/// A measurement for people, by the name it has in GateCheck: shares as "98.70 %".
std::string format_value(std::string_view name, double value);
/// ">= 98.70 %", "26.11 to 31.91", "<= 1.0421"; one of the bounds is there.
std::string format_bounds(const GateCheck& check, std::optional<double> least,
                          std::optional<double> most);

}  // namespace veloz::eval
