// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cpu/features.h"

namespace veloz::test {

/// Names of the instruction sets that this machine can run, portable first, the best last.
inline std::vector<std::string> isas_here() {
  const cpu::Isa best = cpu::best_isa(cpu::detect_features());
  std::vector<std::string> names;
  for (const cpu::Isa isa : {cpu::Isa::portable, cpu::Isa::avx2, cpu::Isa::avx512,
                             cpu::Isa::avx512_vnni, cpu::Isa::avx512_bf16})
    if (isa <= best) names.emplace_back(cpu::to_string(isa));
  return names;
}

}  // namespace veloz::test
