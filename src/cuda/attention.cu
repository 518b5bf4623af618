// SPDX-License-Identifier: Apache-2.0
#include "cuda/attention.h"

#include <cstdint>

#include "cuda/attention_kernels.cuh"
#include "cuda/launch.h"

namespace veloz::cuda {
namespace {

AttentionParams params_of(const ops::PagedAttentionArgs& args, const DecodePlan& plan,
                          void* workspace) {
  constexpr double kLog2E = 1.4426950408889634;
  auto* const outputs = static_cast<float*>(workspace);
  const int64_t num_outputs = plan.num_units * plan.num_leaves * kRowBlock * args.head_dim;
  const auto block_size = static_cast<uint64_t>(args.cache.shape[3]);
  return {
      .q = args.q.as<const Bf16>(),
      .cache = args.cache.as<const unsigned char>(),
      .y = args.y.as<Bf16>(),
      .q_starts = args.q_starts.as<const int32_t>(),
      .q_lens = args.q_lens.as<const int32_t>(),
      .kv_lens = args.kv_lens.as<const int32_t>(),
      .block_tables = args.block_tables.as<const int32_t>(),
      .partial_outputs = outputs,
      .partial_sums =
          plan.num_splits == 1 ? nullptr : reinterpret_cast<float2*>(outputs + num_outputs),
      .q_stride = args.q.row_stride,
      .y_stride = args.y.row_stride,
      .table_stride = args.block_tables.row_stride,
      .num_seqs = static_cast<int>(args.q_starts.shape[0]),
      .num_heads = static_cast<int>(args.num_heads),
      .num_kv_heads = static_cast<int>(args.num_kv_heads),
      .group = static_cast<int>(args.num_heads / args.num_kv_heads),
      .block_size = static_cast<int>(block_size),
      .block_inverse = static_cast<unsigned>(((uint64_t{1} << 32) + block_size - 1) / block_size),
      .num_leaves = static_cast<int>(plan.num_leaves),
      .max_positions = static_cast<int>(args.block_tables.shape[1] * args.cache.shape[3]),
      .score_scale = static_cast<float>(static_cast<double>(args.scale) * args.k_scale * kLog2E),
      .v_scale = args.v_scale};
}

/// Vectors of q and y are loaded and stored whole.
bool is_aligned(const TensorView& view, int64_t elements) {
  return reinterpret_cast<uintptr_t>(view.data) %
                 (static_cast<uintptr_t>(elements) * sizeof(Bf16)) ==
             0 &&
         view.row_stride % elements == 0;
}

template <bool kIsFp8>
void run(CudaStream& stream, const ops::PagedAttentionArgs& args, const AttentionParams& params,
         const DecodePlan& plan) {
  const auto head_dim = static_cast<int>(args.head_dim);
  const auto num_tokens = static_cast<int>(args.q.shape[0]);
  launch_decode<kIsFp8>(stream, params, head_dim, num_tokens, plan);
  // A sequence has a token at least: with no more tokens than sequences all of them decode.
  if (num_tokens > params.num_seqs) launch_prefill<kIsFp8>(stream, params, head_dim, num_tokens);
}

}  // namespace

void paged_attention(ops::OpContext& context, const ops::PagedAttentionArgs& args) noexcept {
  if (args.q.shape[0] == 0) return;
  // Views that no engine makes.
  if (!is_aligned(args.q, 4) || !is_aligned(args.y, 2))
    return paged_attention_simple(context, args);
  paged_attention_as_planned(context, args, plan_decode(args));
}

void paged_attention_as_planned(ops::OpContext& context, const ops::PagedAttentionArgs& args,
                                const DecodePlan& plan) noexcept {
  const AttentionParams params = params_of(args, plan, context.workspace.data());
  if (args.cache.dtype == DType::fp8_e4m3)
    run<true>(stream_of(context), args, params, plan);
  else
    run<false>(stream_of(context), args, params, plan);
}

}  // namespace veloz::cuda
