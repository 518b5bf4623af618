// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cpu/features.h"

namespace veloz::test {

/// Names of the instruction sets that this machine can run, portable first, the best last.
inline std::vector<std::string> isas_here() {
  const cpu::CpuFeatures features = cpu::detect_features();
  std::vector<std::string> names;
  for (const cpu::Isa isa : cpu::kIsas)
    if (cpu::can_run(isa, features)) names.emplace_back(cpu::to_string(isa));
  return names;
}

}  // namespace veloz::test
