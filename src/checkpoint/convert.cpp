// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/convert.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"

namespace veloz::checkpoint {
namespace {

constexpr uint32_t kExponent = 0x7f800000u;

// The loops below are written without branches and calls, so that the compiler turns them into
// vector code; a block's counts stay in 32 bits for the same reason.
constexpr size_t kBlock = 4096;

/// As fp16_to_fp32: the bits moved into fp32's place are the value times 2^-112, subnormals
/// included; all-ones exponents stay all ones.
float widen_fp16(uint16_t half) {
  const uint32_t bits = half;
  const float magnitude = std::bit_cast<float>((bits & 0x7fffu) << 13) * 0x1.0p112f;
  const uint32_t special = (bits & 0x7c00u) == 0x7c00u ? kExponent : 0;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | special |
                              (bits & 0x8000u) << 16);
}

template <DType dtype>
float load(const std::byte* at) {
  if constexpr (dtype == DType::fp32) {
    float value = 0;
    std::memcpy(&value, at, sizeof(value));
    return value;
  } else {
    uint16_t bits = 0;
    std::memcpy(&bits, at, sizeof(bits));
    if constexpr (dtype == DType::fp16) return widen_fp16(bits);
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
}

template <DType from_dtype, DType to_dtype>
void convert_block(const std::byte* from, std::byte* to, size_t count, NonFinite& found) {
  constexpr size_t from_bytes = from_dtype == DType::fp32 ? 4 : 2;
  constexpr size_t to_bytes = to_dtype == DType::fp32 ? 4 : 2;
  uint32_t num_nan = 0;
  uint32_t num_not_finite = 0;
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits = std::bit_cast<uint32_t>(load<from_dtype>(from + i * from_bytes));
    if constexpr (to_dtype == DType::bf16) {
      const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
      const uint32_t quiet = (bits >> 16) | 0x0040u;
      const auto out = static_cast<uint16_t>((bits & ~(1u << 31)) > kExponent ? quiet : rounded);
      std::memcpy(to + i * to_bytes, &out, to_bytes);
      bits = static_cast<uint32_t>(out) << 16;
    } else {
      std::memcpy(to + i * to_bytes, &bits, to_bytes);
    }
    const uint32_t magnitude = bits & ~(1u << 31);
    num_nan += magnitude > kExponent ? 1 : 0;
    num_not_finite += magnitude >= kExponent ? 1 : 0;
  }
  found.num_nan += num_nan;
  found.num_inf += num_not_finite - num_nan;
}

template <DType from_dtype, DType to_dtype>
NonFinite convert_all(const std::byte* from, std::byte* to, size_t count) {
  NonFinite found;
  for (size_t done = 0; done < count; done += kBlock)
    convert_block<from_dtype, to_dtype>(from + done * (from_dtype == DType::fp32 ? 4 : 2),
                                        to + done * (to_dtype == DType::fp32 ? 4 : 2),
                                        std::min(kBlock, count - done), found);
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
  VELOZ_CHECK(
      count * dtype_bytes(from_dtype) == from.size() && count * dtype_bytes(to_dtype) == to.size(),
      "{} bytes of {} into {} of {}", from.size(), to_string(from_dtype), to.size(),
      to_string(to_dtype));
  if (from_dtype == DType::fp32)
    return convert_from<DType::fp32>(from.data(), to_dtype, to.data(), count);
  if (from_dtype == DType::fp16)
    return convert_from<DType::fp16>(from.data(), to_dtype, to.data(), count);
  VELOZ_CHECK(from_dtype == DType::bf16, "{} is no weight dtype", to_string(from_dtype));
  return convert_from<DType::bf16>(from.data(), to_dtype, to.data(), count);
}

}  // namespace veloz::checkpoint
