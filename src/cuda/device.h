// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/device.h"
#include "base/error.h"
#include "cuda/library_use.h"

namespace veloz::cuda {

/// What a GPU says of itself.
struct GpuFacts {
  int index = 0;
  std::string name;  // "NVIDIA H200"
  int major = 0;     // compute capability
  int minor = 0;
  int num_multiprocessors = 0;
  size_t total_bytes = 0;
  size_t l2_bytes = 0;
  int driver_version = 0;   // 13000
  int runtime_version = 0;  // what this program was built with
};

/// The GPUs of this machine, or why there are none, in a sentence.
struct GpuList {
  std::vector<GpuFacts> gpus;
  std::string why_none;
};
GpuList list_gpus();

struct DeviceOptions {
  /// Where it is not `none`, streams have cuBLASLt, for the kernels that make_registry offers with
  /// the same option. Creating one throws Error(unsupported) where the library is missing.
  LibraryUse library = LibraryUse::none;
  std::filesystem::path cublaslt_directory{};  // where it is looked for first, or ""
  std::filesystem::path tuning_directory{};    // of its tuned algorithms; "": none are kept
};

/// Opens GPU `index`. Throws Error(unsupported) where there is none, the driver is missing or too
/// old, or the chip is not a Hopper (sm_90).
std::unique_ptr<Device> open_device(int index, const DeviceOptions& options = {});

/// Why streams of a device of these options could have no cuBLASLt; nothing where they can.
std::optional<Error> library_error(const DeviceOptions& options);

/// Bytes free on the device now, and those it has.
struct GpuMemory {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
};
GpuMemory gpu_memory(const Device& device);

/// Of a device of open_device.
const GpuFacts& gpu_facts(const Device& device);

}  // namespace veloz::cuda
