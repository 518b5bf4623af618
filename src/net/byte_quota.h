// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace veloz::net {

/// How many bytes several owners may hold together. From any thread.
class ByteQuota {
 public:
  explicit ByteQuota(size_t max_bytes) : max_bytes_(max_bytes) {}
  size_t num_held() const { return num_held_; }

 private:
  friend class ByteShare;

  size_t max_bytes_;
  std::atomic<size_t> num_held_ = 0;
};

/// What one owner holds of a quota; given back by the destructor.
class ByteShare {
 public:
  ByteShare() = default;
  explicit ByteShare(std::shared_ptr<ByteQuota> quota) : quota_(std::move(quota)) {}
  ~ByteShare() {
    if (quota_) quota_->num_held_ -= num_bytes_;
  }
  ByteShare(ByteShare&& other) noexcept { swap(other); }
  ByteShare& operator=(ByteShare&& other) noexcept {
    ByteShare taken(std::move(other));
    swap(taken);
    return *this;
  }
  ByteShare(const ByteShare&) = delete;
  ByteShare& operator=(const ByteShare&) = delete;

  /// False, and nothing changes, where the quota has not enough left.
  [[nodiscard]] bool grow_to(size_t num_bytes) {
    if (num_bytes <= num_bytes_) return true;
    const size_t num_more = num_bytes - num_bytes_;
    if (quota_->num_held_.fetch_add(num_more) + num_more > quota_->max_bytes_) {
      quota_->num_held_ -= num_more;
      return false;
    }
    num_bytes_ = num_bytes;
    return true;
  }

 private:
  void swap(ByteShare& other) noexcept {
    quota_.swap(other.quota_);
    std::swap(num_bytes_, other.num_bytes_);
  }

  std::shared_ptr<ByteQuota> quota_;
  size_t num_bytes_ = 0;
};

}  // namespace veloz::net
