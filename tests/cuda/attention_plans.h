// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/attention_runs.h"

namespace veloz::cuda {

/// The kernel as it is for a plan with these numbers.
template <int64_t kSeqsPerBlock, int64_t kMaxSplits>
ops::Kernel planned_attention() {
  ops::Kernel kernel = kernel_named("paged_attention/tensor_cores");
  kernel.run = [](ops::OpContext& context, const ops::OpCall& call) noexcept {
    const auto args = ops::PagedAttentionArgs::from(call);
    paged_attention_as_planned(context, args, plan_decode(args, kSeqsPerBlock, kMaxSplits));
  };
  kernel.workspace_bytes = [](const ops::OpCall& call, int) {
    const auto args = ops::PagedAttentionArgs::from(call);
    return plan_decode(args, kSeqsPerBlock, kMaxSplits).partial_bytes;
  };
  return kernel;
}

/// The kernel with clusters, of so many thread blocks for a leaf; for calls that take them.
template <int64_t kBlocksPerLeaf>
ops::Kernel clustered_attention() {
  ops::Kernel kernel = kernel_named("paged_attention/tensor_cores");
  kernel.run = [](ops::OpContext& context, const ops::OpCall& call) noexcept {
    const auto args = ops::PagedAttentionArgs::from(call);
    paged_attention_as_planned(context, args, plan_clusters(args, kBlocksPerLeaf).value());
  };
  kernel.workspace_bytes = nullptr;
  return kernel;
}

}  // namespace veloz::cuda
