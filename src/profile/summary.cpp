// SPDX-License-Identifier: Apache-2.0
#include "profile/summary.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <tuple>

namespace veloz::profile {
namespace {

/// A group with the time that each roof binds it.
struct Sum {
  OpGroup group;
  std::array<double, kRoofs.size()> bound_s{};

  void add(const OpTime& op, const MachinePeaks& peaks) {
    const Bound bound = bound_of(op.work.cost, op.work.arithmetic, peaks);
    ++group.num_steps;
    group.seconds += op.seconds;
    group.cost.flops += op.work.cost.flops;
    group.cost.bytes += op.work.cost.bytes;
    group.roof_s += bound.seconds;
    bound_s[static_cast<size_t>(bound.roof)] += bound.seconds;
  }
  OpGroup result() const {
    OpGroup result = group;
    result.roof =
        kRoofs.at(static_cast<size_t>(std::ranges::max_element(bound_s) - bound_s.begin()));
    return result;
  }
};

std::string name_of_group(const OpTime& op, Grouping grouping) {
  switch (grouping) {
    case Grouping::kernel:
      return "";
    case Grouping::name:
      return name_in_all_layers(op.name);
    case Grouping::step:
      return op.name;
  }
  return "";
}

}  // namespace

double PhaseSummary::lost_ms_per_token(const OpGroup& group) const {
  return group.lost_s() * 1e3 / static_cast<double>(phase.num_tokens());
}

PhaseSummary summarize(const PhaseTimes& times, const MachinePeaks& peaks, Grouping grouping) {
  using Key = std::tuple<std::string, std::string, std::string, size_t>;  // op, kernel, name, step
  std::map<Key, Sum> sums;
  Sum all;
  for (const OpTime& op : times.ops) {
    const std::string name = name_of_group(op, grouping);
    const std::string op_name(ops::op_def(op.op).name);
    const size_t step = grouping == Grouping::step ? op.step : 0;
    Sum& sum = sums[{op_name, op.kernel, name, step}];
    sum.group.op = op_name;
    sum.group.kernel = op.kernel;
    sum.group.name = name;
    sum.add(op, peaks);
    all.add(op, peaks);
  }
  PhaseSummary summary{.phase = times.phase,
                       .step_s = times.step_s,
                       .host_s = times.host_s,
                       .all = all.result(),
                       .groups = {}};
  for (const auto& [key, sum] : sums) summary.groups.push_back(sum.result());
  std::ranges::stable_sort(summary.groups, std::ranges::greater{}, &OpGroup::lost_s);
  return summary;
}

std::string name_in_all_layers(const std::string& name) {
  std::string result;
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    const bool is_number = !part.empty() && std::ranges::all_of(part, is_digit);
    if (begin > 0) result += '.';
    result += is_number ? "*" : part;
    begin = end + 1;
  }
  return result;
}

}  // namespace veloz::profile
