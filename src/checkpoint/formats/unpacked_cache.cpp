// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/unpacked_cache.h"

#include <algorithm>

namespace veloz::checkpoint {

std::shared_ptr<const UnpackedCache::Bytes> UnpackedCache::get(
    const std::string& name, size_t bytes, const std::function<Bytes()>& unpack) {
  const std::shared_ptr<Entry> entry = find_or_add(name, bytes);
  const std::scoped_lock lock(entry->mutex);
  if (!entry->unpacked) entry->unpacked = std::make_shared<const Bytes>(unpack());
  return entry->unpacked;
}

std::shared_ptr<UnpackedCache::Entry> UnpackedCache::find_or_add(const std::string& name,
                                                                 size_t bytes) {
  const std::scoped_lock lock(mutex_);
  const auto found =
      std::ranges::find_if(entries_, [&](const auto& entry) { return entry->name == name; });
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
    return entries_.front();
  }
  auto entry = std::make_shared<Entry>();
  entry->name = name;
  entry->bytes = bytes;
  entries_.push_front(entry);
  held_bytes_ += bytes;
  while (held_bytes_ > kMaxBytes && entries_.size() > 1) {
    held_bytes_ -= entries_.back()->bytes;
    entries_.pop_back();
  }
  return entry;
}

}  // namespace veloz::checkpoint
