// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace veloz::bench {

/// Scratch memory of a kernel, aligned as kernels want it.
class Workspace {
 public:
  Workspace() = default;
  explicit Workspace(size_t bytes) : memory_(bytes + kAlignment), bytes_(bytes) {}

  /// Valid until this is moved or destroyed.
  std::span<std::byte> span() {
    void* at = memory_.data();
    size_t space = memory_.size();
    if (bytes_ > 0) std::align(kAlignment, bytes_, at, space);
    return {static_cast<std::byte*>(at), bytes_};
  }

 private:
  static constexpr size_t kAlignment = 64;
  std::vector<std::byte> memory_;
  size_t bytes_ = 0;
};

}  // namespace veloz::bench
