// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/auto_search.h"

#include "base/error.h"

namespace veloz::compress {
namespace {

/// Error and bytes of a group under a treatment, or as it was.
struct Level {
  double error = 0;
  double bytes = 0;
};

Level level_of(const GroupChoice& group, std::optional<size_t> treatment) {
  if (!treatment) return {0, static_cast<double>(group.original_bytes)};
  return {group.output_error[*treatment], static_cast<double>(group.stored_bytes[*treatment])};
}

std::optional<size_t> next_of(const GroupChoice& group, size_t treatment) {
  return treatment + 1 < group.stored_bytes.size() ? std::optional(treatment + 1) : std::nullopt;
}

}  // namespace

std::vector<Upgrade> upgrade_path(const std::vector<GroupChoice>& groups) {
  Assignment now(groups.size(), std::optional<size_t>(0));
  std::vector<Upgrade> path;
  for (;;) {
    std::optional<Upgrade> best;
    double best_gain = 0;
    for (size_t i = 0; i < groups.size(); ++i) {
      if (!now[i]) continue;
      const std::optional<size_t> next = next_of(groups[i], *now[i]);
      const Level from = level_of(groups[i], now[i]);
      const Level to = level_of(groups[i], next);
      const double gain = (from.error - to.error) / (to.bytes - from.bytes);
      if (best && gain <= best_gain) continue;
      best = Upgrade{i, next};
      best_gain = gain;
    }
    if (!best) return path;
    now[best->group] = best->to;
    path.push_back(*best);
  }
}

Assignment after_upgrades(const std::vector<GroupChoice>& groups, const std::vector<Upgrade>& path,
                          size_t count) {
  VELOZ_CHECK(count <= path.size(), "{} upgrades of {}", count, path.size());
  Assignment assignment(groups.size(), std::optional<size_t>(0));
  for (size_t i = 0; i < count; ++i) assignment[path[i].group] = path[i].to;
  return assignment;
}

size_t fewest_upgrades(size_t path_length, const std::function<bool(size_t count)>& passes) {
  if (path_length == 0 || passes(0)) return 0;
  size_t fails = 0;
  size_t passing = path_length;
  while (passing - fails > 1) {
    const size_t middle = fails + (passing - fails) / 2;
    (passes(middle) ? passing : fails) = middle;
  }
  return passing;
}

}  // namespace veloz::compress
