// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/device.h"
#include "base/thread_pool.h"
#include "ops/kernel.h"

namespace veloz::compress {

/// The CPU on which calibration runs: whose memory is host memory, whose kernels may run here.
struct Host {
  Device& device;
  const ops::KernelRegistry& registry;
  ThreadPool& pool;
};

}  // namespace veloz::compress
