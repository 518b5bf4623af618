// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace veloz::cpu {
namespace {

/// A row of codes of 8 bits as 16 bits each, filled up with zeros to a multiple of four:
/// step(codes, to) widens kCodes of them.
template <int64_t kCodes, typename Step>
void widen_codes(const void* codes, int64_t count, void* to, const Step& step) {
  const char* const from = static_cast<const char*>(codes);
  char* const widened = static_cast<char*>(to);
  int64_t i = 0;
  for (; i + kCodes <= count; i += kCodes) step(from + i, widened + 2 * i);
  if (i == count) return;
  char rest[kCodes] = {};
  char rest_widened[2 * kCodes];
  __builtin_memcpy(rest, from + i, static_cast<size_t>(count - i));
  step(rest, rest_widened);
  const int64_t padded = (count - i + 3) / 4 * 4;
  __builtin_memcpy(widened + 2 * i, rest_widened, static_cast<size_t>(2 * padded));
}

}  // namespace
}  // namespace veloz::cpu
