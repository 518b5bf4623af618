// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/device.h"
#include "base/thread_pool.h"
#include "ops/kernel.h"
#include "veloz/llm.h"

namespace veloz::api {

/// A device ready for use, with what runs on it.
struct Backend {
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Device> device;
  std::unique_ptr<ops::KernelRegistry> registry;
  std::string description;    // "2 threads, avx512_bf16_dot"
  std::string warning{};      // why it is not the device that one would expect, or ""
  bool uses_library = false;  // cuBLASLt, which takes memory of its own
};

/// What a model is to run on.
struct BackendRequest {
  std::string device = "auto";  // auto, cpu, cuda (the first GPU) or cuda:N
  std::string isa{};            // of the CPU; "": the best there is
  int num_threads = 0;          // 0: as many as this process may use
  /// Of a GPU, as in cuda::DeviceOptions; they say nothing to a CPU.
  bool allow_nondeterminism = false;
  std::filesystem::path cublaslt_directory{};
  std::filesystem::path tuning_directory{};
};
BackendRequest backend_request(const LLMOptions& options);

/// `num_threads` as --threads gives it; 0: as many as this process may use. Throws
/// Error(invalid_input) for what cannot be.
int resolve_num_threads(int num_threads);

/// The CPU. `isa` "" takes the best there is; Error(unsupported) for one this machine lacks.
/// `num_threads` as in resolve_num_threads.
Backend open_cpu(std::string_view isa, int num_threads);

/// What was asked for, to run an engine that was built for `target`. "auto" is the GPU for engines
/// for one, where there is one, and else the CPU. Throws Error(unsupported) with the reason where
/// the device asked for cannot be had, Error(invalid_input) for a word that is none.
Backend open_backend(const BackendRequest& request, std::string_view target);

/// Throws as open_backend for a device that cannot be had. Opens nothing.
void require_device(std::string_view device);

/// The build target for engines that are built to run on `device`: "cuda" or "cpu".
std::string_view target_of_device(std::string_view device);

/// Kernels and layouts of a build target, whether this machine could run them or not: "cpu" (the
/// best ISA's; its layouts serve every ISA), "cpu:ISA" or "cuda". Throws Error(unsupported) for
/// another.
ops::KernelRegistry target_registry(std::string_view target);

/// What this machine runs an engine for `target` with: a GPU's kernels, or those of the best ISA
/// that its processor has.
ops::KernelRegistry local_registry(std::string_view target);

}  // namespace veloz::api
