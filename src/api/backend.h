// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/device.h"
#include "base/thread_pool.h"
#include "ops/kernel.h"

namespace veloz::api {

/// A device ready for use, with what runs on it.
struct Backend {
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Device> device;
  std::unique_ptr<ops::KernelRegistry> registry;
  std::string description;  // "2 threads, avx512_bf16"
};

/// `num_threads` as --threads gives it; 0: as many as this process may use. Throws
/// Error(invalid_input) for what cannot be.
int resolve_num_threads(int num_threads);

/// The CPU. `isa` "" takes the best there is; Error(unsupported) for one this machine lacks.
/// `num_threads` as in resolve_num_threads.
Backend open_cpu(std::string_view isa, int num_threads);

/// Kernels and layouts of a build target, whether this machine could run them or not: "cpu" (the
/// best ISA's; its layouts serve every ISA) or "cpu:ISA". Throws Error(unsupported) for another.
ops::KernelRegistry target_registry(std::string_view target);

}  // namespace veloz::api
