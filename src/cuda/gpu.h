// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What device code and its launchers are written against: CUDA's own headers, or, where the
/// kernels run on a simulated multiprocessor (tests/cuda/sim), the same names on the CPU.
#if defined(VELOZ_CUDA_SIM)
#include "cuda/sim/gpu.h"
#else
#include <cuda_runtime.h>
#endif

/// Code of the device itself, as opposed to the host's pass over the same file.
#if defined(__CUDA_ARCH__)
#define VELOZ_DEVICE_CODE 1
#else
#define VELOZ_DEVICE_CODE 0
#endif

namespace veloz::cuda {

/// Shared memory whose size the launch gives, aligned to 1024 bytes (what a 128-byte swizzle asks
/// for).
#if !defined(VELOZ_CUDA_SIM)
__device__ inline unsigned char* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char veloz_dynamic_shared[];
  return veloz_dynamic_shared;
}
#endif

}  // namespace veloz::cuda
