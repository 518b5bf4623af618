// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

namespace veloz::eval {

/// What a gate says of a model that stands for another, worst first. As MLPerf Inference has it, a
/// model passes at 99 % or 99.9 % of the original's quality, all metrics of its task holding, and
/// only where its answers are about as long.
enum class Verdict {
  fail,
  ungated,  // nothing to compare with, or nobody has
  pass_99,
  pass_99_9,
};

/// "FAIL", "UNGATED", "PASS-99", "PASS-99.9".
std::string_view to_string(Verdict verdict);
std::optional<Verdict> try_parse_verdict(std::string_view text);

}  // namespace veloz::eval
