// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace veloz::text {

/// What a chat template may use. A template comes from a model directory and is untrusted: each
/// limit ends the rendering with Error(invalid_input) that names it.
struct ChatTemplateLimits {
  size_t max_template_bytes = size_t{512} << 10;
  int64_t max_steps = 20'000'000;  // expressions and statements run; bytes copied count 1/256
  size_t max_output_bytes = size_t{64} << 20;
  size_t max_memory_bytes = size_t{256} << 20;  // strings, lists and scopes alive at one time
  int max_depth = 500;         // nested evaluation: macros that call macros, recursive loops
  int64_t max_range = 100000;  // items of one range(), as in Jinja's sandbox
};

}  // namespace veloz::text
