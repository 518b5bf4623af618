// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loop that reads memory, as wide as the including file's flags allow: all is in an anonymous
// namespace, so each instruction set has its own copy.

#include <cstddef>
#include <cstdint>

#include "cpu/peak_loops.h"

namespace veloz::cpu {
namespace {

uint64_t read_all(const std::byte* memory, size_t bytes) {
  using Line = uint64_t __attribute__((vector_size(64)));
  constexpr size_t kLines = kReadBytes / sizeof(Line);
  Line sums[kLines] = {};
  for (size_t at = 0; at < bytes; at += kReadBytes)
    for (size_t i = 0; i < kLines; ++i) {
      const std::byte* const from = memory + at + i * sizeof(Line);
      __builtin_prefetch(from + kReadAhead);
      Line line;
      __builtin_memcpy(&line, from, sizeof(line));
      sums[i] ^= line;
    }
  uint64_t all = 0;
  for (const Line& sum : sums)
    for (size_t i = 0; i < sizeof(Line) / sizeof(uint64_t); ++i) all ^= sum[i];
  return all;
}

}  // namespace
}  // namespace veloz::cpu
