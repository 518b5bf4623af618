// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/dummy_values.h"

namespace veloz::cuda {

class CudaStream;

/// Enqueues the writing of elements [0, count) of a dummy weight: those that write_dummy_values
/// makes on the host. False, with nothing enqueued, for what no model at hand has: random fp16.
[[nodiscard]] bool write_dummy(CudaStream& stream, void* to, const DummyValues& values,
                               int64_t count) noexcept;

}  // namespace veloz::cuda
