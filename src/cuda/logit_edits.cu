// SPDX-License-Identifier: Apache-2.0
#include "cuda/launch.h"
#include "cuda/logits.h"
#include "cuda/numeric.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

constexpr int kThreads = 256;

__device__ inline float ban() { return bit_cast<float>(0xff800000u); }  // -infinity

struct Edits {
  float* logits;
  int64_t stride;
  const int32_t* offsets;
  const int32_t* tokens;
  const float* biases;
  const int32_t* banned;
  int num_banned;
};

/// A token may have a bias and be banned: bans come last.
__global__ void __launch_bounds__(kThreads) mask_logits_kernel(Edits edits) {
  wait_for_previous_kernel();
  allow_next_kernel();
  float* const row = edits.logits + static_cast<int64_t>(blockIdx.x) * edits.stride;
  const int begin = edits.offsets[blockIdx.x] + static_cast<int>(threadIdx.x);
  const int end = edits.offsets[blockIdx.x + 1];
  for (int j = begin; j < end; j += kThreads) {
    const float bias = edits.biases[j];
    if (bias != ban()) row[edits.tokens[j]] += bias;
  }
  __syncthreads();
  for (int j = begin; j < end; j += kThreads)
    if (edits.biases[j] == ban()) row[edits.tokens[j]] = ban();
  for (int j = static_cast<int>(threadIdx.x); j < edits.num_banned; j += kThreads)
    row[edits.banned[j]] = ban();
}

struct Penalties {
  float* logits;
  int64_t stride;
  const float* params;
  int64_t params_stride;
  const int32_t* offsets;
  const int32_t* tokens;  // distinct within a row
  const int32_t* counts;
};

__global__ void __launch_bounds__(kThreads) penalize_kernel(Penalties penalties) {
  wait_for_previous_kernel();
  allow_next_kernel();
  float* const row = penalties.logits + static_cast<int64_t>(blockIdx.x) * penalties.stride;
  const float* const params =
      penalties.params + static_cast<int64_t>(blockIdx.x) * penalties.params_stride;
  const float repetition = params[0];
  const float presence = params[1];
  const float frequency = params[2];
  const int end = penalties.offsets[blockIdx.x + 1];
  for (int j = penalties.offsets[blockIdx.x] + static_cast<int>(threadIdx.x); j < end;
       j += kThreads) {
    const auto count = static_cast<float>(penalties.counts[j]);
    float x = row[penalties.tokens[j]];
    x = x < 0 ? x * repetition : x / repetition;
    x -= frequency * count;
    if (count > 0) x -= presence;
    row[penalties.tokens[j]] = x;
  }
}

struct Bitmasks {
  float* logits;
  int64_t stride;
  int num_columns;
  const int32_t* rows;
  const uint32_t* allowed;
  int64_t allowed_stride;
};

/// A warp's tokens share a word. Writes only: what the logits were does not matter.
__global__ void __launch_bounds__(kThreads) apply_bitmask_kernel(Bitmasks masks) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const uint32_t* const allowed =
      masks.allowed + static_cast<int64_t>(blockIdx.x) * masks.allowed_stride;
  float* const row = masks.logits + masks.rows[blockIdx.x] * masks.stride;
  const int step = static_cast<int>(gridDim.y) * kThreads;
  for (int token = static_cast<int>(blockIdx.y * kThreads + threadIdx.x); token < masks.num_columns;
       token += step)
    if ((allowed[token / 32] >> (token % 32) & 1u) == 0) row[token] = ban();
}

unsigned rows_of(const TensorView& view) { return static_cast<unsigned>(view.shape[0]); }

}  // namespace

void mask_logits(ops::OpContext& context, const ops::MaskLogitsArgs& args) noexcept {
  if (args.logits.shape[0] == 0) return;
  const Edits edits{.logits = args.logits.as<float>(),
                    .stride = args.logits.row_stride,
                    .offsets = args.offsets.as<const int32_t>(),
                    .tokens = args.tokens.as<const int32_t>(),
                    .biases = args.biases.as<const float>(),
                    .banned = args.banned.as<const int32_t>(),
                    .num_banned = static_cast<int>(args.banned.shape[0])};
  launch(stream_of(context), "mask_logits", mask_logits_kernel,
         {.grid = dim3(rows_of(args.logits)), .block = dim3(kThreads)}, edits);
}

void penalize(ops::OpContext& context, const ops::PenalizeArgs& args) noexcept {
  if (args.logits.shape[0] == 0) return;
  const Penalties penalties{.logits = args.logits.as<float>(),
                            .stride = args.logits.row_stride,
                            .params = args.params.as<const float>(),
                            .params_stride = args.params.row_stride,
                            .offsets = args.offsets.as<const int32_t>(),
                            .tokens = args.tokens.as<const int32_t>(),
                            .counts = args.counts.as<const int32_t>()};
  launch(stream_of(context), "penalize", penalize_kernel,
         {.grid = dim3(rows_of(args.logits)), .block = dim3(kThreads)}, penalties);
}

void apply_bitmask(ops::OpContext& context, const ops::ApplyBitmaskArgs& args) noexcept {
  if (args.rows.shape[0] == 0) return;
  const auto num_columns = static_cast<int>(args.logits.shape[1]);
  const Bitmasks masks{.logits = args.logits.as<float>(),
                       .stride = args.logits.row_stride,
                       .num_columns = num_columns,
                       .rows = args.rows.as<const int32_t>(),
                       .allowed = args.allowed.as<const uint32_t>(),
                       .allowed_stride = args.allowed.row_stride};
  constexpr int kTokensPerBlock = 8 * kThreads;
  const auto blocks = static_cast<unsigned>((num_columns + kTokensPerBlock - 1) / kTokensPerBlock);
  launch(stream_of(context), "apply_bitmask", apply_bitmask_kernel,
         {.grid = dim3(rows_of(args.rows), blocks), .block = dim3(kThreads)}, masks);
}

}  // namespace veloz::cuda
