// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "compress/quantize/quantize_model.h"

namespace veloz::compress {

/// One group goes from its treatment to the next larger one; nothing: to what it was.
struct Upgrade {
  size_t group = 0;
  std::optional<size_t> to;
};

/// All upgrades from every group's smallest treatment to the original model, each time the one that
/// takes most output error for its bytes (of equal ones the earlier group).
std::vector<Upgrade> upgrade_path(const std::vector<GroupChoice>& groups);

/// The assignment after the first `count` upgrades.
Assignment after_upgrades(const std::vector<GroupChoice>& groups, const std::vector<Upgrade>& path,
                          size_t count);

/// The fewest upgrades of the path whose assignment passes, found by halving: what passes is taken
/// to pass with more upgrades too. The whole path, the original model, is not tried, it passes.
/// `passes` is called once for each assignment tried.
size_t fewest_upgrades(size_t path_length, const std::function<bool(size_t count)>& passes);

}  // namespace veloz::compress
