// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/attention_plan.h"
#include "ops/attention.h"
#include "ops/kernel.h"

/// Attention over the paged KV cache, on the GPU. There the cache is plain: [num_blocks, 2 (k, v),
/// num_kv_heads, block_size, head_dim], and in int8 a row of head_dim codes is followed by the four
/// bytes of its fp32 scale.
namespace veloz::cuda {

/// On the tensor cores: q in bf16, cache in bf16 or fp8_e4m3, head_dim 64, 128 or 256, block_size a
/// multiple of 16.
void paged_attention(ops::OpContext& context, const ops::PagedAttentionArgs& args) noexcept;
/// The same with a plan of the caller's, which decides no bit of the result. The workspace has
/// plan.partial_bytes; q and y are aligned to what is loaded at once (4 and 2 elements).
void paged_attention_as_planned(ops::OpContext& context, const ops::PagedAttentionArgs& args,
                                const DecodePlan& plan) noexcept;
/// Whatever else the op takes. No workspace.
void paged_attention_simple(ops::OpContext& context, const ops::PagedAttentionArgs& args) noexcept;

}  // namespace veloz::cuda
