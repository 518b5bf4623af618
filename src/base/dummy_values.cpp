// SPDX-License-Identifier: Apache-2.0
#include "base/dummy_values.h"

#include <cstring>

#include "base/error.h"
#include "base/fp8.h"

namespace veloz {
namespace {

template <typename T, typename Make>
void write(const DummyValues& values, int64_t first, int64_t count, std::byte* to,
           const Make& make) {
  for (int64_t i = first; i < first + count; ++i) {
    const auto element = static_cast<uint64_t>(i);
    const uint32_t bits =
        values.kind == DummyValues::Kind::uniform
            ? static_cast<uint32_t>(dummy_bits(values.key, element / 4) >> (element % 4 * 16)) &
                  0xffffu
            : 0;
    const T value = make(bits, element);
    std::memcpy(to, &value, sizeof(T));
    to += sizeof(T);
  }
}

}  // namespace

void write_dummy_values(const DummyValues& values, int64_t first, int64_t count, std::byte* to) {
  using Kind = DummyValues::Kind;
  const bool is_uniform = values.kind == Kind::uniform;
  const auto real = [&](uint32_t bits) {
    return is_uniform ? values.scale * dummy_uniform(bits) : values.scale;
  };
  switch (values.dtype) {
    case DType::fp32:
      return write<float>(values, first, count, to,
                          [&](uint32_t bits, uint64_t) { return real(bits); });
    case DType::bf16:
      return write<BFloat16>(values, first, count, to,
                             [&](uint32_t bits, uint64_t) { return BFloat16(real(bits)); });
    case DType::fp16:
      return write<uint16_t>(values, first, count, to,
                             [&](uint32_t bits, uint64_t) { return fp32_to_fp16(real(bits)); });
    case DType::fp8_e4m3:
      return write<Fp8E4M3>(values, first, count, to,
                            [&](uint32_t bits, uint64_t) { return Fp8E4M3(real(bits)); });
    case DType::int8:
      return write<int8_t>(values, first, count, to, [&](uint32_t bits, uint64_t) {
        return static_cast<int8_t>(is_uniform ? dummy_code(bits) : static_cast<int>(values.scale));
      });
    case DType::uint8:
    case DType::uint4x2:
      return write<uint8_t>(values, first, count, to, [&](uint32_t bits, uint64_t) {
        return static_cast<uint8_t>(is_uniform ? bits : static_cast<uint32_t>(values.scale));
      });
    case DType::int32:
      return write<int32_t>(values, first, count, to, [&](uint32_t, uint64_t element) {
        return static_cast<int32_t>(values.kind == Kind::index ? element : 0);
      });
    case DType::int64:
      break;
  }
  throw Error(ErrorKind::internal, "a dummy weight of a dtype that no weight has");
}

}  // namespace veloz
