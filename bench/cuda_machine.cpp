// SPDX-License-Identifier: Apache-2.0
#include "bench/cuda_machine.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/fp8.h"
#include "bench/cuda_read.h"

namespace veloz::bench {
namespace {

using cuda::check;

constexpr size_t kBlockBytes = size_t{16} << 20;
constexpr size_t kArenaBytes = size_t{10} << 30;
constexpr size_t kAlignment = 256;
constexpr size_t kCopyBytes = size_t{4} << 30;
constexpr size_t kLargestPool = size_t{24} << 30;
constexpr int kBandwidthRuns = 7;
constexpr int64_t kMostCalls = 128;  // of one graph

/// Numbers around 0, the sum of four uniform ones: near enough to normal ones, and cheap.
class Numbers {
 public:
  float next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    int32_t sum = 0;
    for (int word = 0; word < 4; ++word)
      sum += static_cast<int16_t>(static_cast<uint16_t>(state_ >> (16 * word)));
    return static_cast<float>(sum) / 32768.0f;  // standard deviation 1.15
  }
  uint8_t next_byte() { return static_cast<uint8_t>(std::lround(next() * 40.0f)); }

 private:
  uint64_t state_ = 0x9E3779B97F4A7C15;
};

std::vector<std::byte> random_bytes(DType dtype, size_t bytes) {
  std::vector<std::byte> memory(bytes);
  Numbers numbers;
  const size_t step = dtype == DType::fp32 || dtype == DType::bf16 ? dtype_bytes(dtype) : 1;
  for (size_t at = 0; at < bytes; at += step) {
    const float x = numbers.next();
    if (dtype == DType::fp32) {
      std::memcpy(&memory[at], &x, sizeof(x));
    } else if (dtype == DType::bf16) {
      const BFloat16 rounded(x);
      std::memcpy(&memory[at], &rounded, sizeof(rounded));
    } else if (dtype == DType::fp8_e4m3) {
      const Fp8E4M3 rounded(x);
      std::memcpy(&memory[at], &rounded, sizeof(rounded));
    } else {
      memory[at] = static_cast<std::byte>(numbers.next_byte());
    }
  }
  return memory;
}

/// A CUDA event and a captured graph, destroyed with their scope.
struct Event {
  cudaEvent_t handle = nullptr;
  Event() { check(cudaEventCreate(&handle), "creating an event"); }
  ~Event() { cudaEventDestroy(handle); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
};
struct Graph {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  Graph() = default;
  ~Graph() {
    if (exec != nullptr) cudaGraphExecDestroy(exec);
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
};

cuda::GpuFacts facts_of(int index) {
  for (const cuda::GpuFacts& gpu : cuda::list_gpus().gpus)
    if (gpu.index == index) return gpu;
  return {};
}

}  // namespace

CudaMachine::CudaMachine(int index, size_t most_bytes)
    : facts_(facts_of(index)),
      device_(cuda::open_device(index)),
      stream_(std::make_unique<cuda::CudaStream>(index)),
      arena_(device_->allocate(
          std::min(kArenaBytes, std::min(most_bytes, cuda::gpu_memory(*device_).free_bytes) / 4))),
      most_bytes_(most_bytes) {}

void* CudaMachine::take(size_t bytes) {
  if (arena_.bytes() - taken_ < bytes)
    throw Error(ErrorKind::out_of_memory, "the operands are larger than the arena");
  void* const data = static_cast<std::byte*>(arena_.data()) + taken_;
  taken_ = std::min(arena_.bytes(), (taken_ + bytes + kAlignment - 1) / kAlignment * kAlignment);
  return data;
}

void* CudaMachine::zeros(size_t bytes) {
  void* const data = take(bytes);
  check(cudaMemsetAsync(data, 0, bytes, stream_->handle()), "clearing memory");
  return data;
}

bool CudaMachine::recover() noexcept {
  try {
    stream_ = std::make_unique<cuda::CudaStream>(facts_.index);
    cudaGetLastError();
    check(cudaDeviceSynchronize(), "waiting for the device");
    return true;
  } catch (const Error&) {
    return false;
  }
}

void CudaMachine::upload(void* to, std::span<const std::byte> bytes) {
  device_->copy_in(*stream_, to, bytes.data(), bytes.size());
  stream_->synchronize();
}

std::vector<std::byte> CudaMachine::download(const void* from, size_t bytes) {
  std::vector<std::byte> memory(bytes);
  device_->copy_out(*stream_, memory.data(), from, bytes);
  stream_->synchronize();
  return memory;
}

void CudaMachine::fill(void* to, DType dtype, size_t bytes) {
  auto found = std::ranges::find(block_types_, dtype);
  if (found == block_types_.end()) {
    blocks_.push_back(device_->allocate(kBlockBytes));
    upload(blocks_.back().data(), random_bytes(dtype, kBlockBytes));
    block_types_.push_back(dtype);
    found = block_types_.end() - 1;
  }
  const void* const block = blocks_[static_cast<size_t>(found - block_types_.begin())].data();
  for (size_t at = 0; at < bytes; at += kBlockBytes)
    device_->copy(*stream_, static_cast<std::byte*>(to) + at, block,
                  std::min(kBlockBytes, bytes - at));
}

void* CudaMachine::random(DType dtype, size_t bytes) {
  void* const data = take(bytes);
  fill(data, dtype, bytes);
  return data;
}

std::span<std::byte> CudaMachine::pool(DType dtype) {
  const bool is_new = !pool_;
  if (is_new) {
    const size_t half = std::min(most_bytes_, cuda::gpu_memory(*device_).free_bytes) / 2;
    pool_ = device_->allocate(std::min(kLargestPool, half) / kBlockBytes * kBlockBytes);
  }
  if (is_new || pool_type_ != dtype) fill(pool_.data(), dtype, pool_.bytes());
  pool_type_ = dtype;
  return {static_cast<std::byte*>(pool_.data()), pool_.bytes()};
}

double CudaMachine::seconds_of(const std::function<void()>& enqueue) {
  const Event begin, end;
  check(cudaEventRecord(begin.handle, stream_->handle()), "recording an event");
  enqueue();
  check(cudaEventRecord(end.handle, stream_->handle()), "recording an event");
  stream_->synchronize();
  float ms = 0;
  check(cudaEventElapsedTime(&ms, begin.handle, end.handle), "reading an event");
  return static_cast<double>(ms) * 1e-3;
}

std::vector<double> CudaMachine::time(const std::function<void(int64_t call_idx)>& run,
                                      int num_replays, double graph_seconds) {
  seconds_of([&] { run(0); });  // loads the code
  const double once = seconds_of([&] { run(1); });
  const auto num_calls = static_cast<int64_t>(
      std::clamp(graph_seconds / std::max(once, 1e-7), 1.0, static_cast<double>(kMostCalls)));
  Graph captured;
  check(cudaStreamBeginCapture(stream_->handle(), cudaStreamCaptureModeRelaxed), "capturing");
  for (int64_t call = 0; call < num_calls; ++call) run(call);
  check(cudaStreamEndCapture(stream_->handle(), &captured.graph), "capturing");
  check(cudaGraphInstantiate(&captured.exec, captured.graph, 0), "instantiating a graph");
  const auto replay = [&] {
    check(cudaGraphLaunch(captured.exec, stream_->handle()), "launching a graph");
  };
  seconds_of(replay);
  std::vector<double> times;
  for (int i = 0; i < num_replays; ++i)
    times.push_back(seconds_of(replay) / static_cast<double>(num_calls));
  return times;
}

double CudaMachine::copy_bandwidth() {
  release();
  const size_t bytes = std::min(kCopyBytes, arena_.bytes() / 2 - kAlignment);
  const void* const from = random(DType::bf16, bytes);
  void* const to = take(bytes);
  double shortest = INFINITY;
  for (int i = 0; i < kBandwidthRuns; ++i)
    shortest = std::min(shortest, seconds_of([&] { device_->copy(*stream_, to, from, bytes); }));
  return 2 * static_cast<double>(bytes) / shortest;
}

double CudaMachine::read_bandwidth() {
  release();
  const size_t bytes = std::min(kCopyBytes, arena_.bytes() / 2) / kBlockBytes * kBlockBytes;
  const std::span memory(static_cast<const std::byte*>(random(DType::bf16, bytes)), bytes);
  auto* const sink = static_cast<uint32_t*>(zeros(sizeof(uint32_t)));
  double shortest = INFINITY;
  for (int i = 0; i < kBandwidthRuns; ++i)
    shortest = std::min(shortest, seconds_of([&] { read_all(*stream_, memory, sink); }));
  return static_cast<double>(bytes) / shortest;
}

}  // namespace veloz::bench
