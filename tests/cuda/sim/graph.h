// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

#include "cuda/sim/runtime_api.h"

namespace veloz::cuda::sim {

constexpr size_t kPageBytes = 4096;
constexpr size_t round_up_to(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

/// Does the work at once, or records it where the stream is capturing.
void enqueue(cudaStream_t stream, std::function<void()> work);

}  // namespace veloz::cuda::sim
