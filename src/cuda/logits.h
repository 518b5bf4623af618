// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/apply_bitmask.h"
#include "ops/beam_candidates.h"
#include "ops/kernel.h"
#include "ops/logprobs.h"
#include "ops/mask_logits.h"
#include "ops/penalize.h"
#include "ops/sample.h"

/// Ops that work on logits, on the GPU: a block for each row, whose result depends on that row
/// alone.
namespace veloz::cuda {

void apply_bitmask(ops::OpContext& context, const ops::ApplyBitmaskArgs& args) noexcept;
void beam_candidates(ops::OpContext& context, const ops::BeamCandidatesArgs& args) noexcept;
void log_softmax(ops::OpContext& context, const ops::LogSoftmaxArgs& args) noexcept;
void mask_logits(ops::OpContext& context, const ops::MaskLogitsArgs& args) noexcept;
void penalize(ops::OpContext& context, const ops::PenalizeArgs& args) noexcept;
void sample(ops::OpContext& context, const ops::SampleArgs& args) noexcept;
void top_logprobs(ops::OpContext& context, const ops::TopLogprobsArgs& args) noexcept;

}  // namespace veloz::cuda
