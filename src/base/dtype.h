// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace veloz {

/// Element types of tensors. The names are those of graph text, JSON and flags.
enum class DType : uint8_t {
  fp32,
  fp16,
  bf16,
  fp8_e4m3,  // base/fp8.h
  int64,
  int32,
  int8,
  uint8,
  uint4x2,  // two codes of 4 bits along the last axis, the even one in the low half
};

size_t dtype_bytes(DType dtype);
std::string_view to_string(DType dtype);
std::optional<DType> try_parse_dtype(std::string_view name);
/// The name in safetensors files, "BF16"; "" of uint4x2, which the format lacks.
std::string_view safetensors_dtype(DType dtype);

/// bf16 is the upper half of an fp32; conversion rounds to nearest even, NaN stays a (quiet) NaN.
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<uint16_t>((u >> 16) | 0x0040u);
    } else {
      bits = static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
  }
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

/// IEEE binary16, as stored in F16 checkpoints; exact to fp32.
float fp16_to_fp32(uint16_t bits);
/// Rounds to nearest even; too large becomes infinity, NaN stays a NaN.
uint16_t fp32_to_fp16(float value);

}  // namespace veloz
