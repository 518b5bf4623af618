// SPDX-License-Identifier: Apache-2.0
#include "grammar/budget.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::grammar {
namespace {

constexpr int64_t kTicksPerLook = 512;
constexpr const char* kHint = "make it smaller: fewer alternatives, repetitions or long bounds";

[[noreturn]] void refuse(const std::string& message, const char* hint = kHint) {
  throw Error(ErrorKind::unsupported, message, hint);
}

}  // namespace

Budget::Budget(const CompileLimits& limits)
    : limits_(limits),
      deadline_(std::chrono::steady_clock::now() +
                std::chrono::milliseconds(limits.max_milliseconds)) {}

void Budget::check_source(std::string_view source) const {
  if (source.size() > limits_.max_source_bytes)
    refuse(fmt::format("the grammar has {} bytes, at most {} are taken", source.size(),
                       limits_.max_source_bytes));
}

void Budget::check_depth(int64_t depth) const {
  if (depth > limits_.max_depth)
    refuse(fmt::format("the grammar is nested deeper than {} levels", limits_.max_depth),
           "nest it less, or name its parts");
}

void Budget::add_states(int64_t count) {
  num_states_ += count;
  check_states_at_once(num_states_);
}

void Budget::check_states_at_once(int64_t count) const {
  if (count > limits_.max_states)
    refuse(fmt::format("the grammar needs more than {} states", limits_.max_states));
}

void Budget::add_memory(size_t bytes) {
  memory_bytes_ += bytes;
  check_memory_at_once(0);
}

void Budget::check_memory_at_once(size_t bytes) const {
  if (memory_bytes_ + bytes > limits_.max_memory_bytes)
    refuse(fmt::format("the grammar needs more than {} MiB of memory",
                       limits_.max_memory_bytes >> 20));
}

void Budget::tick() {
  if (ticks_until_look_-- > 0) return;
  ticks_until_look_ = kTicksPerLook;
  check_time();
}

void Budget::check_time() const {
  if (std::chrono::steady_clock::now() > deadline_)
    refuse(fmt::format("the grammar takes more than {} ms to compile", limits_.max_milliseconds));
}

}  // namespace veloz::grammar
