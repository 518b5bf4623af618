// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/convert.h"

#include <bit>
#include <cstring>

#include "base/error.h"

namespace veloz::checkpoint {
namespace {

float load(DType dtype, const std::byte* at) {
  if (dtype == DType::fp32) {
    float value = 0;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
  uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof(bits));
  if (dtype == DType::fp16) return fp16_to_fp32(bits);
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

template <DType from_dtype, DType to_dtype>
NonFinite convert_all(const std::byte* from, std::byte* to, size_t count) {
  constexpr uint32_t kExponent = 0x7f800000u;
  constexpr size_t from_bytes = from_dtype == DType::fp32 ? 4 : 2;
  constexpr size_t to_bytes = to_dtype == DType::fp32 ? 4 : 2;
  NonFinite found;
  for (size_t i = 0; i < count; ++i) {
    float value = load(from_dtype, from + i * from_bytes);
    if constexpr (to_dtype == DType::bf16) {
      const BFloat16 rounded(value);
      std::memcpy(to + i * to_bytes, &rounded.bits, to_bytes);
      value = static_cast<float>(rounded);
    } else {
      std::memcpy(to + i * to_bytes, &value, to_bytes);
    }
    const uint32_t magnitude = std::bit_cast<uint32_t>(value) & 0x7fffffffu;
    found.num_inf += magnitude == kExponent;
    found.num_nan += magnitude > kExponent;
  }
  return found;
}

template <DType from_dtype>
NonFinite convert_from(const std::byte* from, DType to_dtype, std::byte* to, size_t count) {
  if (to_dtype == DType::fp32) return convert_all<from_dtype, DType::fp32>(from, to, count);
  VELOZ_CHECK(to_dtype == DType::bf16, "weights are fp32 or bf16, not {}", to_string(to_dtype));
  return convert_all<from_dtype, DType::bf16>(from, to, count);
}

}  // namespace

NonFinite convert(DType from_dtype, std::span<const std::byte> from, DType to_dtype,
                  std::span<std::byte> to) {
  const size_t count = from.size() / dtype_bytes(from_dtype);
  VELOZ_CHECK(count * dtype_bytes(to_dtype) == to.size(), "{} elements into {} bytes", count,
              to.size());
  if (from_dtype == DType::fp32)
    return convert_from<DType::fp32>(from.data(), to_dtype, to.data(), count);
  if (from_dtype == DType::fp16)
    return convert_from<DType::fp16>(from.data(), to_dtype, to.data(), count);
  VELOZ_CHECK(from_dtype == DType::bf16, "{} is no weight dtype", to_string(from_dtype));
  return convert_from<DType::bf16>(from.data(), to_dtype, to.data(), count);
}

}  // namespace veloz::checkpoint
