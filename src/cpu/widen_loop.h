// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/gemm_tile.h"

namespace veloz::cpu {
namespace {

/// A row of x in kFactor times the bits, filled up with zeros to whole steps of kStepBytesX:
/// step(x, to) widens kBytes of it.
template <int64_t kBytes, int64_t kFactor = 2, typename Step>
void widen_row(const void* x, int64_t num_bytes, void* to, const Step& step) {
  const char* const from = static_cast<const char*>(x);
  char* const widened = static_cast<char*>(to);
  int64_t i = 0;
  for (; i + kBytes <= num_bytes; i += kBytes) step(from + i, widened + kFactor * i);
  if (i == num_bytes) return;
  char rest[kBytes] = {};
  char rest_widened[kFactor * kBytes];
  __builtin_memcpy(rest, from + i, static_cast<size_t>(num_bytes - i));
  step(rest, rest_widened);
  const int64_t padded = (num_bytes - i + kStepBytesX - 1) / kStepBytesX * kStepBytesX;
  __builtin_memcpy(widened + kFactor * i, rest_widened, static_cast<size_t>(kFactor * padded));
}

}  // namespace
}  // namespace veloz::cpu
