// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/device.h"
#include "base/thread_pool.h"
#include "ops/kernel.h"

namespace veloz::compress {

/// What models are measured and calibrated on; all outlive those who use them. Calibration wants a
/// CPU: memory of the device is host memory, and the kernels may run here.
struct Machine {
  Device& device;
  const ops::KernelRegistry& registry;
  ThreadPool& pool;
};

}  // namespace veloz::compress
