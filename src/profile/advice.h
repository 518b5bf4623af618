// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/plan.h"
#include "profile/footprint.h"

namespace veloz::profile {

/// A limit that would make a model fit.
struct Advice {
  std::string flag;  // "--kv-cache-memory-bytes"; "" where no flag alone is enough
  int64_t value = 0;
  std::string effect;  // "the cache holds 4,096 tokens instead of 65,536"
};

/// What to change so that the footprint fits `memory_bytes`: each entry is enough on its own, the
/// one that costs least first. Empty where it fits.
std::vector<Advice> advise(const Footprint& footprint, const engine::Limits& limits,
                           uint64_t memory_bytes);

}  // namespace veloz::profile
