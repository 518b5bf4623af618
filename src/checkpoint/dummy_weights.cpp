// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/dummy_weights.h"

#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/philox.h"

namespace veloz::checkpoint {

void DummyWeights::declare(const std::string& name, const Shape& shape) { shapes_[name] = shape; }

std::optional<TensorInfo> DummyWeights::find(std::string_view name) const {
  const auto found = shapes_.find(name);
  if (found == shapes_.end()) return std::nullopt;
  return TensorInfo{DType::bf16, found->second};
}

void DummyWeights::read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                             std::span<std::byte> to) const {
  const auto found = shapes_.find(name);
  VELOZ_CHECK(found != shapes_.end(), "dummy tensor {} was not declared", name);
  const Shape& shape = found->second;
  auto* const out = reinterpret_cast<BFloat16*>(to.data());
  const auto count = static_cast<int64_t>(to.size() / sizeof(BFloat16));
  if (shape.rank() == 1) {
    const BFloat16 value(name.ends_with(".bias") ? 0.0f : 1.0f);
    for (int64_t i = 0; i < count; ++i) out[i] = value;
    return;
  }
  const int64_t columns = shape[1];
  VELOZ_CHECK(count == (row_end - row_begin) * columns, "rows [{}, {}) of {} into {} elements",
              row_begin, row_end, name, count);
  const uint64_t name_hash = xxh3_64(std::as_bytes(std::span(name)));
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed_),
                                       static_cast<uint32_t>(seed_ >> 32)};
  // Uniform on [-a, a] has variance a^2 / 3.
  const float amplitude = std::sqrt(3.0f / static_cast<float>(columns));
  // Eight values from one draw: 16 random bits are as many as bf16 can show.
  for (int64_t i = 0; i < count;) {
    const uint64_t index = static_cast<uint64_t>(row_begin * columns + i);
    const std::array<uint32_t, 4> words =
        philox4x32({static_cast<uint32_t>(index / 8), static_cast<uint32_t>(index / 8 >> 32),
                    static_cast<uint32_t>(name_hash), static_cast<uint32_t>(name_hash >> 32)},
                   key);
    for (uint64_t lane = index % 8; lane < 8 && i < count; ++lane, ++i) {
      const uint32_t half = words[lane / 2] >> (lane % 2 * 16) & 0xffffu;
      out[i] = BFloat16(amplitude * (static_cast<float>(half) * 0x1.0p-15f - (1.0f - 0x1.0p-16f)));
    }
  }
}

}  // namespace veloz::checkpoint
