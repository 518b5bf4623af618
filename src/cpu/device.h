// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/device.h"
#include "base/thread_pool.h"

namespace veloz::cpu {

/// Work on a CPU runs where it is called, so the queue is always empty.
class CpuStream final : public Stream {
 public:
  void synchronize() override {}
};

/// Host memory, in huge pages where the system grants them. Stateless; any thread may call it.
class CpuDevice final : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::cpu; }
  std::string description() const override;
  /// Zero-filled. Large buffers are mapped at a huge page's boundary and backed by memory at their
  /// first touch: see touch_pages. Zero bytes give a valid, unique address.
  Buffer allocate(size_t bytes) override;
  std::unique_ptr<Stream> create_stream() override;
  void copy_in(Stream& stream, void* device_to, const void* host_from, size_t bytes) override;
  void copy_out(Stream& stream, void* host_to, const void* device_from, size_t bytes) override;
  void copy(Stream& stream, void* device_to, const void* device_from, size_t bytes) override;
};

/// Touches every page of `memory` on all threads, so that nothing faults (or runs out) later.
/// Contents are kept.
void touch_pages(ThreadPool& pool, std::span<std::byte> memory);

}  // namespace veloz::cpu
