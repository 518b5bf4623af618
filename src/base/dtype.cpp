// SPDX-License-Identifier: Apache-2.0
#include "base/dtype.h"

#include <array>
#include <cmath>
#include <utility>

namespace veloz {
namespace {

constexpr std::array<std::pair<DType, std::string_view>, 9> kNames = {{
    {DType::fp32, "fp32"},
    {DType::fp16, "fp16"},
    {DType::bf16, "bf16"},
    {DType::fp8_e4m3, "fp8_e4m3"},
    {DType::int64, "int64"},
    {DType::int32, "int32"},
    {DType::int8, "int8"},
    {DType::uint8, "uint8"},
    {DType::uint4x2, "uint4x2"},
}};

}  // namespace

size_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::fp32:
    case DType::int32:
      return 4;
    case DType::fp16:
    case DType::bf16:
      return 2;
    case DType::int64:
      return 8;
    case DType::fp8_e4m3:
    case DType::int8:
    case DType::uint8:
    case DType::uint4x2:
      return 1;
  }
  return 0;
}

std::string_view to_string(DType dtype) {
  for (const auto& [value, name] : kNames)
    if (value == dtype) return name;
  return "unknown";
}

std::optional<DType> try_parse_dtype(std::string_view name) {
  for (const auto& [value, text] : kNames)
    if (text == name) return value;
  return std::nullopt;
}

std::string_view safetensors_dtype(DType dtype) {
  switch (dtype) {
    case DType::fp32:
      return "F32";
    case DType::fp16:
      return "F16";
    case DType::bf16:
      return "BF16";
    case DType::fp8_e4m3:
      return "F8_E4M3";
    case DType::int64:
      return "I64";
    case DType::int32:
      return "I32";
    case DType::int8:
      return "I8";
    case DType::uint8:
      return "U8";
    case DType::uint4x2:
      break;
  }
  return "";
}

float fp16_to_fp32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

uint16_t fp32_to_fp16(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((u >> 16) & 0x8000u);
  const uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude < 0x38800000u) {  // 2^-14: the spacing is 2^-24 throughout
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p24f;
    return sign | static_cast<uint16_t>(std::nearbyint(scaled));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  if (rounded >= 0x47800000u) return sign | 0x7c00u;  // 65536
  return sign | static_cast<uint16_t>((rounded >> 13) - ((127u - 15u) << 10));
}

}  // namespace veloz
