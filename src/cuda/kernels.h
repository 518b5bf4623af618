// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/library_use.h"
#include "ops/kernel.h"

namespace veloz::cuda {

/// Kernels and weight layouts of the CUDA back end (sm_90a), best first within an op. Weights lie
/// plain, rows of K contiguous. A program built without CUDA has the same list, so that it builds
/// engines for a GPU; its kernels do not run.
struct RegistryOptions {
  /// Offers linears by cuBLASLt, on streams that have it (DeviceOptions): with `fastest` their
  /// results change in the last bits with the number of rows beside a row. All else is the same in
  /// every batch.
  LibraryUse library = LibraryUse::none;
};
ops::KernelRegistry make_registry(const RegistryOptions& options = {});

}  // namespace veloz::cuda
