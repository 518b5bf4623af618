// SPDX-License-Identifier: Apache-2.0
#include "base/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/dummy_values.h"
#include "base/error.h"
#include "base/files.h"
#include "base/numeric.h"

namespace veloz {

std::string_view to_string(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::cuda:
      return "cuda";
  }
  return "unknown";
}

Buffer Device::allocate_host(size_t bytes) {
  constexpr size_t kAlignment = 64;
  const size_t rounded = round_up(std::max<size_t>(bytes, 1), kAlignment);
  void* const data = std::aligned_alloc(kAlignment, rounded);
  if (data == nullptr)
    throw Error(ErrorKind::out_of_memory, fmt::format("{} of host memory", format_bytes(bytes)),
                "lower the limits of the engine or free memory");
  std::memset(data, 0, rounded);
  return Buffer(data, bytes, [](void* pointer) { std::free(pointer); });
}

void Device::copy_blocks(Stream& stream, void* base, size_t block_bytes,
                         std::span<const std::pair<int32_t, int32_t>> pairs) {
  auto* const bytes = static_cast<std::byte*>(base);
  for (const auto& [from, to] : pairs)
    if (from != to)
      copy(stream, bytes + static_cast<size_t>(to) * block_bytes,
           bytes + static_cast<size_t>(from) * block_bytes, block_bytes);
}

void Device::write_dummy(Stream& stream, void* device_to, const DummyValues& values,
                         int64_t count) {
  constexpr int64_t kAtOnce = int64_t{1} << 20;
  const size_t element_bytes = dtype_bytes(values.dtype);
  const Buffer staging =
      allocate_host(static_cast<size_t>(std::min(kAtOnce, count)) * element_bytes);
  for (int64_t first = 0; first < count; first += kAtOnce) {
    const int64_t some = std::min(kAtOnce, count - first);
    write_dummy_values(values, first, some, static_cast<std::byte*>(staging.data()));
    copy_in(stream, static_cast<std::byte*>(device_to) + static_cast<size_t>(first) * element_bytes,
            staging.data(), static_cast<size_t>(some) * element_bytes);
    stream.synchronize();  // the staging memory is free again
  }
}

}  // namespace veloz
