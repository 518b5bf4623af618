// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace veloz {

struct DummyValues;

enum class DeviceKind { cpu, cuda };

std::string_view to_string(DeviceKind kind);

/// Memory on one device, freed on destruction. The pointer is a host address only on a CPU device.
class Buffer {
 public:
  using Deleter = std::function<void(void*)>;

  Buffer() = default;
  Buffer(void* data, size_t bytes, Deleter deleter)
      : data_(data, std::move(deleter)), bytes_(bytes) {}

  void* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  std::unique_ptr<void, Deleter> data_{nullptr, [](void*) {}};
  size_t bytes_ = 0;
};

/// Work that was recorded once, to be enqueued many times (a CUDA graph). Operands keep their
/// addresses.
class Recording {
 public:
  virtual ~Recording() = default;
};

/// An in-order queue of work on one device. Whoever enqueues must keep the operands alive until
/// `synchronize` returns.
class Stream {
 public:
  virtual ~Stream() = default;
  /// Blocks until all enqueued work is done. Throws Error(internal) when the device is lost.
  virtual void synchronize() = 0;
  /// Notes how far the queue has come, for wait_for_mark. The next mark replaces it.
  virtual void mark() {}
  /// Blocks until the work ahead of the mark is done, and perhaps longer. Throws as synchronize.
  virtual void wait_for_mark() { synchronize(); }
  /// From here on work is recorded instead of run. False where the device has no such thing.
  virtual bool begin_recording() { return false; }
  /// What was enqueued since. Throws Error(internal) where it could not be recorded.
  virtual std::unique_ptr<Recording> end_recording() { return nullptr; }
  /// Enqueues recorded work of this stream's device.
  virtual void replay(Recording&) {}
};

/// What the runtime needs of an accelerator: memory, a stream, explicit copies. Implementations
/// live in `cpu` and `cuda`; all methods may be called from any thread, a Stream from one thread at
/// a time.
class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceKind kind() const = 0;
  virtual std::string description() const = 0;
  /// 64-byte aligned memory, zero-filled. Throws Error(out_of_memory) with what was asked.
  virtual Buffer allocate(size_t bytes) = 0;
  /// Host memory from which copies to the device run fastest (pinned, where that means something),
  /// aligned and filled as above.
  virtual Buffer allocate_host(size_t bytes);
  virtual std::unique_ptr<Stream> create_stream() = 0;
  virtual void copy_in(Stream& stream, void* device_to, const void* host_from, size_t bytes) = 0;
  virtual void copy_out(Stream& stream, void* host_to, const void* device_from, size_t bytes) = 0;
  virtual void copy(Stream& stream, void* device_to, const void* device_from, size_t bytes) = 0;
  /// Copies block `from` to block `to` of memory made of equal blocks, for each pair in order; no
  /// `to` is also a `from`, unless of one pair.
  virtual void copy_blocks(Stream& stream, void* base, size_t block_bytes,
                           std::span<const std::pair<int32_t, int32_t>> pairs);
  /// Writes elements [0, count) of a dummy weight. By default they are made on the host.
  virtual void write_dummy(Stream& stream, void* device_to, const DummyValues& values,
                           int64_t count);
};

}  // namespace veloz
