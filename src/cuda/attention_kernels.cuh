// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/attention_plan.h"
#include "cuda/attention_tiles.cuh"
#include "cuda/stream.h"

namespace veloz::cuda {

/// Calls f.operator()<head_dim>(), of the head dims that have kernels.
template <typename F>
void with_head_dim(int head_dim, const F& f) {
  if (head_dim == 64)
    f.template operator()<64>();
  else if (head_dim == 128)
    f.template operator()<128>();
  else
    f.template operator()<256>();
}

/// Short sequences, and the folding of their leaves where several thread blocks work on one.
template <bool kIsFp8>
void launch_decode(CudaStream& stream, const AttentionParams& params, int head_dim, int num_tokens,
                   const DecodePlan& plan);

/// The part of launch_decode that reads blocks of neighbours once: its results, or those of its
/// leaves where these are split.
template <bool kIsFp8>
void launch_sharing_decode(CudaStream& stream, const AttentionParams& params, int head_dim,
                           const DecodePlan& plan);

/// The part of launch_decode that takes whole leaves at once (plan.cluster).
template <bool kIsFp8>
void launch_leaf_decode(CudaStream& stream, const AttentionParams& params, int head_dim,
                        const DecodePlan& plan);

/// Long sequences, those of more rows than the tensor cores take at a time.
template <bool kIsFp8>
void launch_prefill(CudaStream& stream, const AttentionParams& params, int head_dim,
                    int num_tokens);

}  // namespace veloz::cuda
