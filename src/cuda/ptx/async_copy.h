// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"

/// Copies from device to shared memory that the issuing thread does not wait for (cp.async).
namespace veloz::cuda {

#if !defined(VELOZ_CUDA_SIM)
__device__ inline uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

/// 16 bytes, both sides aligned to them; zeros where not `is_valid` (`global` is then not read).
__device__ inline void copy_async_16(void* shared, const void* global, bool is_valid) {
  const int bytes = is_valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(bytes)
               : "memory");
}

/// Ends a group of copies.
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most the `kPending` newest groups of this thread are still under way.
template <int kPending>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}
#endif

}  // namespace veloz::cuda
