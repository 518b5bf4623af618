// SPDX-License-Identifier: Apache-2.0
#include "base/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

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

}  // namespace veloz
