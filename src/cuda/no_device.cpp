// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "cuda/device.h"

/// The devices of a program that was built without CUDA.
namespace veloz::cuda {
namespace {

constexpr const char* kWhy = "no CUDA device: this program was built without CUDA";

Error no_cuda() {
  return Error(ErrorKind::unsupported, kWhy,
               "build with nvcc (cmake --preset cuda), or run on the CPU with --device cpu");
}

}  // namespace

GpuList list_gpus() { return {.gpus = {}, .why_none = kWhy}; }
std::optional<Error> library_error(const DeviceOptions&) { return no_cuda(); }
std::unique_ptr<Device> open_device(int, const DeviceOptions&) { throw no_cuda(); }
GpuMemory gpu_memory(const Device&) { throw no_cuda(); }
const GpuFacts& gpu_facts(const Device&) { throw no_cuda(); }

}  // namespace veloz::cuda
