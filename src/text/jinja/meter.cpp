// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/meter.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::text::jinja {
namespace {

constexpr const char* kHint =
    "the template loops or grows without end, or the conversation is far too long for it";

}  // namespace

void Meter::fail_steps() const {
  throw Error(ErrorKind::invalid_input,
              fmt::format("the chat template took more than max_steps = {}", limits_.max_steps),
              kHint);
}

void Meter::fail_memory() const {
  throw Error(ErrorKind::invalid_input,
              fmt::format("the chat template held more than max_memory_bytes = {}",
                          limits_.max_memory_bytes),
              kHint);
}

void Meter::fail_output() const {
  throw Error(ErrorKind::invalid_input,
              fmt::format("the chat template wrote more than max_output_bytes = {}",
                          limits_.max_output_bytes),
              kHint);
}

void Meter::fail_depth() const {
  throw Error(ErrorKind::invalid_input,
              fmt::format("the chat template nested deeper than max_depth = {}", limits_.max_depth),
              "a macro or a recursive loop that calls itself without end does so");
}

}  // namespace veloz::text::jinja
