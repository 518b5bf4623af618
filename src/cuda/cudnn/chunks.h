// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/cudnn/sdpa_shape.h"
#include "cuda/stream.h"
#include "ops/attention.h"

namespace veloz::cuda {

/// Writes the chunks of a step's long sequences, in order, as ChunkLayout says: where they begin in
/// q and y, their tokens, the positions that their last token sees, and their blocks. Entries that
/// are left have no tokens and one position. Columns past a chunk's positions are 0.
void write_chunks(CudaStream& stream, const ops::PagedAttentionArgs& args, const SdpaShape& shape,
                  int32_t* chunks) noexcept;

}  // namespace veloz::cuda
