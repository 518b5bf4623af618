// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/thread_pool.h"
#include "engine/manifest.h"

namespace veloz::engine {

/// XXH3-64 of one chunk that comes in pieces.
class ChunkHasher {
 public:
  ChunkHasher();
  ~ChunkHasher();
  ChunkHasher(const ChunkHasher&) = delete;
  ChunkHasher& operator=(const ChunkHasher&) = delete;

  void reset();
  void update(std::span<const std::byte> bytes);
  uint64_t digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Bytes read and hashed at a time: they are hashed while still in the core's own cache.
inline constexpr size_t kPieceBytes = size_t{256} << 10;

/// Calls f(chunk, thread_idx) once for each chunk in [0, num_chunks), on all threads. Where calls
/// throw, the exception of the lowest chunk is rethrown, whatever the timing.
template <typename F>
void for_each_chunk(ThreadPool& pool, size_t num_chunks, const F& f) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  size_t first_failed = num_chunks;  // guarded by mutex
  std::exception_ptr failure;        // guarded by mutex
  pool.run([&](int thread_idx) {
    // Chunks are taken in order, so those before a failed one are all taken and will be finished.
    for (size_t chunk = next++; chunk < num_chunks; chunk = next++) {
      try {
        f(chunk, thread_idx);
      } catch (...) {
        const std::scoped_lock lock(mutex);
        next = num_chunks;
        if (chunk < first_failed) {
          first_failed = chunk;
          failure = std::current_exception();
        }
      }
    }
  });
  if (failure) std::rethrow_exception(failure);
}

/// Size and checksums of a file as it lies there now.
FileRecord record_file(std::string name, const File& file, ThreadPool& pool);

/// Checksums of bytes in memory.
FileRecord record_text(std::string name, std::string_view text);

/// Throws Error(corrupt_data), naming file and byte range, where a file is not as recorded.
void verify_file(const File& file, const FileRecord& record, ThreadPool& pool);
void verify_text(std::string_view text, const FileRecord& record);
void verify_size(uint64_t bytes, const FileRecord& record);

/// The error of a chunk that does not match; `contents` names what it holds, or is empty.
[[noreturn]] void throw_damaged_chunk(const FileRecord& record, size_t chunk,
                                      const std::string& contents);

}  // namespace veloz::engine
