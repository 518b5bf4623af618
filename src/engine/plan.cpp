// SPDX-License-Identifier: Apache-2.0
#include "engine/plan.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::engine {

const Program& Plan::program(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const Program& candidate : programs) {
    if (candidate.name == name) return candidate;
    names.push_back(candidate.name);
  }
  throw Error(ErrorKind::not_found,
              fmt::format("the engine has no program \"{}\", it has {}", name,
                          names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))),
              "build the model this program belongs to");
}

ops::Binding limit_binding(const Limits& limits, int64_t num_kv_blocks) {
  ops::Binding binding{};
  binding[static_cast<size_t>(ops::Symbol::T)] = limits.max_num_batched_tokens;
  binding[static_cast<size_t>(ops::Symbol::R)] = limits.max_logit_rows;
  binding[static_cast<size_t>(ops::Symbol::S)] = limits.max_num_seqs;
  binding[static_cast<size_t>(ops::Symbol::B)] = limits.max_blocks_per_seq();
  binding[static_cast<size_t>(ops::Symbol::N)] = num_kv_blocks;
  return binding;
}

}  // namespace veloz::engine
