// SPDX-License-Identifier: Apache-2.0
#include "eval/gate_format.h"

#include <fmt/format.h>

namespace veloz::eval {
namespace {

bool is_share(std::string_view name) { return name.starts_with("rouge") || name == "exact"; }

}  // namespace

std::string format_value(std::string_view name, double value) {
  if (is_share(name)) return fmt::format("{:.2f} %", 100 * value);
  return name == "tokens_per_item" ? fmt::format("{:.2f}", value) : fmt::format("{:.4f}", value);
}

std::string format_bounds(const GateCheck& check, std::optional<double> least,
                          std::optional<double> most) {
  const auto text = [&](double value) { return format_value(check.name, value); };
  if (least && most) return fmt::format("{} to {}", text(*least), text(*most));
  return least ? fmt::format(">= {}", text(*least)) : fmt::format("<= {}", text(*most));
}

}  // namespace veloz::eval
