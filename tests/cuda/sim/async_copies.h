// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace veloz::cuda::sim {

/// What one thread has asked to copy to shared memory (cp.async). Nothing arrives before it is
/// waited for, and the target is spoilt at once, as the hardware may write it at any time: so a
/// missing wait, or a buffer refilled too early, shows.
class AsyncCopies {
 public:
  void copy_16(void* to, const void* from, bool is_valid) {
    std::memset(to, 0xFF, kBytes);
    pending_.push_back({to, is_valid ? from : nullptr});
  }
  void commit() { group_ends_.push_back(pending_.size()); }
  /// Delivers all groups but the newest `num_pending`.
  void wait(size_t num_pending) {
    if (group_ends_.size() <= num_pending) return;
    deliver(group_ends_.size() - num_pending);
  }
  /// Delivers everything asked for, committed or not.
  void wait_all() {
    commit();
    wait(0);
  }
  void clear() {
    pending_.clear();
    group_ends_.clear();
  }

 private:
  static constexpr size_t kBytes = 16;
  struct Copy {
    void* to;
    const void* from;  // null: zeros
  };
  void deliver(size_t num_groups) {
    const size_t end = group_ends_[num_groups - 1];
    for (size_t i = 0; i < end; ++i) {
      if (pending_[i].from == nullptr)
        std::memset(pending_[i].to, 0, kBytes);
      else
        std::memcpy(pending_[i].to, pending_[i].from, kBytes);
    }
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(end));
    group_ends_.erase(group_ends_.begin(),
                      group_ends_.begin() + static_cast<ptrdiff_t>(num_groups));
    for (size_t& group_end : group_ends_) group_end -= end;
  }

  std::vector<Copy> pending_;
  std::vector<size_t> group_ends_;
};

/// Of the thread that runs.
AsyncCopies& async_copies();

/// Bytes that cp.async has read of global memory since the program began.
size_t num_bytes_copied();
void note_bytes_copied(size_t bytes);

}  // namespace veloz::cuda::sim
