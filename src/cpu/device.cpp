// SPDX-License-Identifier: Apache-2.0
#include "cpu/device.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/numeric.h"
#include "cpu/features.h"

namespace veloz::cpu {
namespace {

constexpr size_t kAlignment = 64;              // a cache line and a ZMM register
constexpr size_t kSmallPage = 4096;            // smallest page of the supported systems
constexpr size_t kHugePage = size_t{2} << 20;  // x86-64 and most of AArch64
constexpr size_t kMaxBytes = size_t{1} << 56;  // beyond any address space; keeps sums from wrapping

Error out_of_memory(size_t bytes) {
  return Error(
      ErrorKind::out_of_memory,
      fmt::format("{} ({} bytes) of memory could not be allocated", format_bytes(bytes), bytes),
      "lower the limits of the engine (--max-num-seqs, --max-model-len) or free memory");
}

/// Small buffers come from the heap: a mapping each would waste pages and translations.
Buffer allocate_small(size_t bytes) {
  void* const data = std::aligned_alloc(kAlignment, round_up(bytes, kAlignment));
  if (data == nullptr) throw out_of_memory(bytes);
  std::memset(data, 0, bytes);
  return Buffer(data, bytes, [](void* pointer) { std::free(pointer); });
}

/// A mapping that starts at a huge page's boundary, so that all but its end can be huge pages.
Buffer allocate_mapped(size_t bytes) {
  const size_t mapped = round_up(bytes, kSmallPage) + kHugePage;
  void* const mapping =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) throw out_of_memory(bytes);
  const auto begin = reinterpret_cast<uintptr_t>(mapping);
  const size_t before = round_up(begin, kHugePage) - begin;
  const size_t kept = round_up(bytes, kSmallPage);
  const size_t after = mapped - before - kept;
  std::byte* const data = static_cast<std::byte*>(mapping) + before;
  if (before > 0) ::munmap(mapping, before);
  if (after > 0) ::munmap(data + kept, after);
  // Refused where the system has none: then it is small pages, only slower.
  static_cast<void>(::madvise(data, kept, MADV_HUGEPAGE));
  return Buffer(data, bytes, [kept](void* pointer) { ::munmap(pointer, kept); });
}

}  // namespace

std::string CpuDevice::description() const {
  const CpuFeatures features = detect_features();
  return fmt::format("{} ({})", features.model.empty() ? "CPU" : features.model,
                     to_string(best_isa(features)));
}

Buffer CpuDevice::allocate(size_t bytes) {
  if (bytes >= kMaxBytes) throw out_of_memory(bytes);
  return bytes < kHugePage ? allocate_small(std::max<size_t>(bytes, 1)) : allocate_mapped(bytes);
}

std::unique_ptr<Stream> CpuDevice::create_stream() { return std::make_unique<CpuStream>(); }

void CpuDevice::copy_in(Stream&, void* device_to, const void* host_from, size_t bytes) {
  if (bytes > 0) std::memmove(device_to, host_from, bytes);
}
void CpuDevice::copy_out(Stream&, void* host_to, const void* device_from, size_t bytes) {
  if (bytes > 0) std::memmove(host_to, device_from, bytes);
}
void CpuDevice::copy(Stream&, void* device_to, const void* device_from, size_t bytes) {
  if (bytes > 0) std::memmove(device_to, device_from, bytes);
}

void touch_pages(ThreadPool& pool, std::span<std::byte> memory) {
  constexpr auto kGrain = static_cast<int64_t>(kHugePage);
  pool.for_range(static_cast<int64_t>(memory.size()), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += static_cast<int64_t>(kSmallPage)) {
      // An atomic no-op: a write fault that keeps what a neighbour may just have stored.
      std::atomic_ref<uint8_t> byte(reinterpret_cast<uint8_t&>(memory[static_cast<size_t>(at)]));
      byte.fetch_or(0, std::memory_order_relaxed);
    }
  });
}

}  // namespace veloz::cpu
