// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace CLI {
class App;
}

namespace veloz::cli {

/// Which steps are timed or predicted.
struct PhaseFlags {
  std::vector<int64_t> batch_sizes;
  std::optional<int64_t> prefill;
  std::optional<int64_t> context;
};

/// --batch-sizes, --prefill, --context
void add_phase_flags(CLI::App& verb, PhaseFlags& flags);

}  // namespace veloz::cli
