// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace veloz::cpu {

/// [begin, end) of something countable.
struct Range {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

/// Part `idx` of [0, n) cut into `parts` pieces that differ by one at most.
inline Range part_of(int64_t n, int64_t idx, int64_t parts) {
  return {n * idx / parts, n * (idx + 1) / parts};
}

}  // namespace veloz::cpu
