// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/device.h"
#include "base/dtype.h"
#include "base/shape.h"
#include "cuda/device.h"
#include "cuda/stream.h"

namespace veloz::bench {

/// A GPU, memory to run kernels on, and how fast it moves bytes.
class CudaMachine {
 public:
  /// Opens GPU `index`, as cuda::open_device, and takes memory: at most `most_bytes`.
  CudaMachine(int index, size_t most_bytes);

  const cuda::GpuFacts& facts() const { return facts_; }
  cuda::CudaStream& stream() { return *stream_; }
  /// Memory until `release`, 256-byte aligned; `random`: filled with numbers of `dtype` around 0,
  /// of about 1 in magnitude, integers with any; `zeros`. Throws Error(out_of_memory).
  void* take(size_t bytes);
  void* random(DType dtype, size_t bytes);
  void* zeros(size_t bytes);
  /// Gives back all that was taken. The KV pool stays.
  void release() { taken_ = 0; }
  /// After an error: a new stream, and whether the device still works.
  bool recover() noexcept;
  void upload(void* to, std::span<const std::byte> bytes);
  std::vector<std::byte> download(const void* from, size_t bytes);
  /// The KV pool, filled with random numbers of `dtype`; shared by all cases.
  std::span<std::byte> pool(DType dtype);

  /// Seconds of one of `run(0) ... run(n - 1)`, again and again: they are captured once, in a
  /// graph of about `graph_seconds`, and that is replayed. One number per replay.
  std::vector<double> time(const std::function<void(int64_t call_idx)>& run, int num_replays,
                           double graph_seconds);
  /// Bytes read plus bytes written, per second, by a large copy on the device.
  double copy_bandwidth();
  /// Bytes per second of a kernel that only reads.
  double read_bandwidth();

 private:
  double seconds_of(const std::function<void()>& enqueue);
  void fill(void* to, DType dtype, size_t bytes);

  cuda::GpuFacts facts_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<cuda::CudaStream> stream_;
  std::vector<Buffer> blocks_;  // random numbers, one per dtype that was asked for
  std::vector<DType> block_types_;
  Buffer arena_;
  size_t taken_ = 0;  // of the arena
  Buffer pool_;
  DType pool_type_ = DType::fp32;
  size_t most_bytes_;
};

}  // namespace veloz::bench
