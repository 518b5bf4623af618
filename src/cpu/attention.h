// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/attention_tile.h"
#include "ops/attention.h"
#include "ops/kernel.h"

namespace veloz::cpu {

/// Paged attention over the one reduction tree of ops/attention.h. Work is cut by sequence, kv head
/// and queries, all queries of a kv head's group together, so that each block is read once for
/// them; single tokens of sequences that share blocks, as beams do, are kept together too. A few
/// single tokens with long caches are cut by leaves as well. No cut changes a bit.
///
/// A cache of another dtype than q, bf16, fp8_e4m3 or int8, becomes bf16 leaf by leaf in the
/// thread's scratch, which holds its codes exactly; scales multiply scores and weights.
void paged_attention(ops::OpContext& context, const ops::PagedAttentionArgs& args,
                     const AttentionMicro& micro) noexcept;

size_t paged_attention_workspace_bytes(const ops::OpCall& call, int num_threads);

/// Kernel::run for a set of micro-kernels.
template <const AttentionMicro& micro>
void run_paged_attention(ops::OpContext& context, const ops::OpCall& call) noexcept {
  paged_attention(context, ops::PagedAttentionArgs::from(call), micro);
}

}  // namespace veloz::cpu
