// SPDX-License-Identifier: Apache-2.0
#include "cuda/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "cuda/copy_blocks.h"
#include "cuda/cublaslt/attach.h"
#include "cuda/dummy_values.h"
#include "cuda/gpu.h"
#include "cuda/stream.h"

namespace veloz::cuda {
namespace {

constexpr int kHopper = 9;  // compute capability 9.0: the kernels are sm_90a

CublasLtOptions library_options(const DeviceOptions& options) {
  CublasLtOptions library{.tuning_directory = options.tuning_directory, .use = options.library};
  library.directories.insert(library.directories.begin(), options.cublaslt_directory);
  return library;
}

class CudaDevice final : public Device {
 public:
  CudaDevice(GpuFacts facts, DeviceOptions options)
      : facts_(std::move(facts)), options_(std::move(options)) {}

  DeviceKind kind() const override { return DeviceKind::cuda; }
  std::string description() const override {
    return fmt::format("{} ({}, sm_{}{})", facts_.name, format_bytes(facts_.total_bytes),
                       facts_.major, facts_.minor);
  }
  Buffer allocate(size_t bytes) override;
  Buffer allocate_host(size_t bytes) override;
  std::unique_ptr<Stream> create_stream() override;
  void copy_in(Stream& stream, void* device_to, const void* host_from, size_t bytes) override {
    enqueue(stream, device_to, host_from, bytes, cudaMemcpyHostToDevice);
  }
  void copy_out(Stream& stream, void* host_to, const void* device_from, size_t bytes) override {
    enqueue(stream, host_to, device_from, bytes, cudaMemcpyDeviceToHost);
  }
  void copy(Stream& stream, void* device_to, const void* device_from, size_t bytes) override {
    enqueue(stream, device_to, device_from, bytes, cudaMemcpyDeviceToDevice);
  }
  void copy_blocks(Stream& stream, void* base, size_t block_bytes,
                   std::span<const std::pair<int32_t, int32_t>> pairs) override {
    auto& cuda = static_cast<CudaStream&>(stream);
    cuda.choose_device();
    cuda::copy_blocks(cuda, base, block_bytes, pairs);
  }
  void write_dummy(Stream& stream, void* device_to, const DummyValues& values,
                   int64_t count) override {
    if (!cuda::write_dummy(static_cast<CudaStream&>(stream), device_to, values, count))
      Device::write_dummy(stream, device_to, values, count);
  }
  int index() const { return facts_.index; }
  const GpuFacts& facts() const { return facts_; }

 private:
  static void enqueue(Stream& stream, void* to, const void* from, size_t bytes,
                      cudaMemcpyKind kind) {
    if (bytes == 0) return;
    auto& cuda = static_cast<CudaStream&>(stream);
    cuda.choose_device();
    cuda.note(cudaMemcpyAsync(to, from, bytes, kind, cuda.handle()), "copying memory");
  }

  GpuFacts facts_;
  DeviceOptions options_;
};

std::unique_ptr<Stream> CudaDevice::create_stream() {
  auto stream = std::make_unique<CudaStream>(facts_.index);
  if (options_.library != LibraryUse::none) attach_cublaslt(*stream, library_options(options_));
  return stream;
}

Buffer CudaDevice::allocate(size_t bytes) {
  check(cudaSetDevice(facts_.index), "choosing the device");
  void* data = nullptr;
  const size_t asked = std::max<size_t>(bytes, 1);
  const cudaError_t error = cudaMalloc(&data, asked);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is handled: not the next call's
    const GpuMemory memory = gpu_memory(*this);
    throw Error(
        ErrorKind::out_of_memory,
        fmt::format("{} of GPU memory were asked for, {} of {} are free", format_bytes(bytes),
                    format_bytes(memory.free_bytes), format_bytes(memory.total_bytes)),
        "lower --gpu-memory-utilization or the engine's limits, or free the GPU");
  }
  check(error, "allocating memory");
  Buffer buffer(data, bytes, [](void* pointer) { cudaFree(pointer); });
  check(cudaMemset(data, 0, asked), "clearing memory");
  // The clearing is on another stream than those that will use the memory.
  check(cudaDeviceSynchronize(), "clearing memory");
  return buffer;
}

Buffer CudaDevice::allocate_host(size_t bytes) {
  check(cudaSetDevice(facts_.index), "choosing the device");
  void* data = nullptr;
  const size_t asked = std::max<size_t>(bytes, 1);
  check(cudaMallocHost(&data, asked), "allocating pinned memory");
  std::memset(data, 0, asked);
  return Buffer(data, bytes, [](void* pointer) { cudaFreeHost(pointer); });
}

std::string no_device(cudaError_t error) {
  if (error == cudaErrorInsufficientDriver) {
    int driver = 0;
    cudaDriverGetVersion(&driver);
    if (driver == 0) return "no CUDA device: no NVIDIA driver is installed";
    return fmt::format("no CUDA device: the driver supports CUDA {}.{}, this program needs {}.{}",
                       driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                       CUDART_VERSION % 1000 / 10);
  }
  return fmt::format("no CUDA device: {}", cudaGetErrorString(error));
}

}  // namespace

std::optional<Error> library_error(const DeviceOptions& options) {
  try {
    require_cublaslt(library_options(options));
    return std::nullopt;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unsupported) throw;
    return error;
  }
}

GpuList list_gpus() {
  GpuList list;
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    list.why_none = no_device(error);
    return list;
  }
  if (count == 0) list.why_none = "no CUDA device: the driver knows none";
  int driver = 0;
  cudaDriverGetVersion(&driver);
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    list.gpus.push_back({i, properties.name, properties.major, properties.minor,
                         properties.multiProcessorCount, properties.totalGlobalMem,
                         static_cast<size_t>(properties.l2CacheSize), driver, CUDART_VERSION});
  }
  return list;
}

std::unique_ptr<Device> open_device(int index, const DeviceOptions& options) {
  const GpuList list = list_gpus();
  if (list.gpus.empty())
    throw Error(ErrorKind::unsupported, list.why_none, "run on the CPU with --device cpu");
  const auto gpu = std::ranges::find(list.gpus, index, &GpuFacts::index);
  if (gpu == list.gpus.end())
    throw Error(ErrorKind::unsupported,
                fmt::format("there is no GPU {}, this machine has {}", index, list.gpus.size()),
                "GPUs are numbered from 0");
  if (gpu->major != kHopper || gpu->minor != 0)
    throw Error(ErrorKind::unsupported,
                fmt::format("GPU {} is a {} (sm_{}{}), the kernels are for Hopper (sm_90)", index,
                            gpu->name, gpu->major, gpu->minor),
                "run on an H100, H200 or GH200, or on the CPU with --device cpu");
  return std::make_unique<CudaDevice>(*gpu, options);
}

const GpuFacts& gpu_facts(const Device& device) {
  return static_cast<const CudaDevice&>(device).facts();
}

GpuMemory gpu_memory(const Device& device) {
  check(cudaSetDevice(static_cast<const CudaDevice&>(device).index()), "choosing the device");
  GpuMemory memory;
  check(cudaMemGetInfo(&memory.free_bytes, &memory.total_bytes), "asking for free memory");
  return memory;
}

}  // namespace veloz::cuda
