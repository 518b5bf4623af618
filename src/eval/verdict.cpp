// SPDX-License-Identifier: Apache-2.0
#include "eval/verdict.h"

#include <array>
#include <utility>

#include "base/verdict.h"

namespace veloz::eval {
namespace {

constexpr std::array<std::pair<Verdict, std::string_view>, 4> kNames = {{
    {Verdict::fail, kVerdictFail},
    {Verdict::ungated, kVerdictUngated},
    {Verdict::pass_99, kVerdictPass99},
    {Verdict::pass_99_9, kVerdictPass999},
}};

}  // namespace

std::string_view to_string(Verdict verdict) {
  for (const auto& [value, name] : kNames)
    if (value == verdict) return name;
  return "unknown";
}

std::optional<Verdict> try_parse_verdict(std::string_view text) {
  for (const auto& [value, name] : kNames)
    if (name == text) return value;
  return std::nullopt;
}

}  // namespace veloz::eval
