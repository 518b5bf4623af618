// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cpu/features.h"

namespace veloz::test {

/// Instruction sets that this machine can run, portable first, the best last.
inline std::vector<cpu::Isa> runnable_isas() {
  const cpu::CpuFeatures features = cpu::detect_features();
  std::vector<cpu::Isa> isas;
  for (const cpu::Isa isa : cpu::kIsas)
    if (cpu::can_run(isa, features)) isas.push_back(isa);
  return isas;
}

/// Their names.
inline std::vector<std::string> isas_here() {
  std::vector<std::string> names;
  for (const cpu::Isa isa : runnable_isas()) names.emplace_back(cpu::to_string(isa));
  return names;
}

}  // namespace veloz::test
