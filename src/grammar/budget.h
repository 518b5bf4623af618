// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "grammar/grammar.h"

namespace veloz::grammar {

/// What compiling one grammar has cost so far. Each call throws Error(unsupported), which names the
/// limit, once it is passed.
class Budget {
 public:
  explicit Budget(const CompileLimits& limits);

  const CompileLimits& limits() const { return limits_; }

  void check_source(std::string_view source) const;
  void check_depth(int64_t depth) const;
  /// States of the finished automata.
  void add_states(int64_t count);
  /// States that exist at one time while an automaton is made.
  void check_states_at_once(int64_t count) const;
  /// Memory that is held until the end, and memory that is held beside it for a while.
  void add_memory(size_t bytes);
  void check_memory_at_once(size_t bytes) const;
  /// A unit of work is done; looks at the clock now and then.
  void tick();

 private:
  void check_time() const;

  CompileLimits limits_;
  std::chrono::steady_clock::time_point deadline_;
  int64_t num_states_ = 0;
  size_t memory_bytes_ = 0;
  int64_t ticks_until_look_ = 0;
};

}  // namespace veloz::grammar
