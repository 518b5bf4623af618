// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cuda/stream.h"

namespace veloz::cuda {

struct TimingPlan {
  double sample_seconds = 1e-3;   // calls follow each other until one sample takes this long
  int num_samples = 7;            // at most
  double budget_seconds = 10e-3;  // of all samples; a call that takes as long is timed once
  int64_t max_calls = 256;        // in one sample
  /// Calls come in whole rounds of this many: where each reads other memory than the one before,
  /// one round reads more than the caches hold.
  int64_t round = 1;
  double give_up_seconds = 20;  // a kernel that takes longer hangs
};

struct Timing {
  std::vector<double> seconds{};  // of one call, one per sample
  int64_t calls = 0;              // in each sample
  bool is_graph = false;          // they ran as one CUDA graph, without the host in between
};

/// How long `enqueue(call)` keeps the device busy, between events, after a first call that is not
/// counted. Calls are captured in a graph where they can be, so that short ones are not hidden by
/// the time it takes to launch them. Throws what the stream's launches failed with, and
/// Error(internal) where the device does not come back.
Timing time_calls(CudaStream& stream, const TimingPlan& plan,
                  const std::function<void(int64_t call)>& enqueue);

/// Waits for the stream as `synchronize` does, but not forever.
void synchronize_within(CudaStream& stream, double give_up_seconds);

}  // namespace veloz::cuda
