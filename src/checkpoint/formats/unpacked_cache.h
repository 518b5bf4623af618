// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace veloz::checkpoint {

/// The weights that were unpacked last, whole: what is stored by columns is read by rows a piece
/// at a time, and each piece needs every byte of the file's tensor. Any thread may ask; one that
/// asks for what another is unpacking waits. Holds at most kMaxBytes, or the one newest weight.
class UnpackedCache {
 public:
  static constexpr size_t kMaxBytes = size_t{256} << 20;
  using Bytes = std::vector<std::byte>;

  /// What `unpack` gives for this name, `bytes` of them, made now or before.
  std::shared_ptr<const Bytes> get(const std::string& name, size_t bytes,
                                   const std::function<Bytes()>& unpack);

 private:
  struct Entry {
    std::string name;
    size_t bytes = 0;
    std::mutex mutex;  // of what follows
    std::shared_ptr<const Bytes> unpacked;
  };
  std::shared_ptr<Entry> find_or_add(const std::string& name, size_t bytes);

  std::mutex mutex_;                           // of what follows
  std::list<std::shared_ptr<Entry>> entries_;  // the one used last in front
  size_t held_bytes_ = 0;
};

}  // namespace veloz::checkpoint
