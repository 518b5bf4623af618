// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/device.h"
#include "base/thread_pool.h"
#include "engine/engine.h"
#include "runtime/kernel_choice.h"

namespace veloz::runtime {

/// All weights of an engine on one device, in one buffer.
struct LoadedWeights {
  Buffer buffer;
  std::vector<void*> data;           // one per weight, 64-byte aligned, in its chosen layout
  std::vector<std::string> repacks;  // one line for each weight whose layout was changed
};

/// Reads and verifies the weights, repacks those whose kernels want another layout, and copies them
/// to the device: in groups, so that the host holds a fraction of them. On a CPU device they are
/// read straight to their place. Those of an engine that holds none are made.
LoadedWeights load_weights(const engine::Engine& engine, const KernelChoice& choice, Device& device,
                           Stream& stream, ThreadPool& pool);

}  // namespace veloz::runtime
