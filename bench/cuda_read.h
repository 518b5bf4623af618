// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/stream.h"

namespace veloz::bench {

/// Reads all of `memory` once, a multiple of 64 KiB; `sink` is one word that nobody needs.
void read_all(cuda::CudaStream& stream, std::span<const std::byte> memory, uint32_t* sink);

}  // namespace veloz::bench
