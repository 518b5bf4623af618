// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/norm.h"
#include "ops/quantize.h"
#include "ops/rope.h"
#include "ops/rope_append.h"

/// Ops that work on one row at a time, on the GPU. A row's result does not depend on the others.
namespace veloz::cuda {

void add(ops::OpContext& context, const ops::AddArgs& args) noexcept;
void rms_norm(ops::OpContext& context, const ops::RmsNormArgs& args) noexcept;
void layer_norm(ops::OpContext& context, const ops::LayerNormArgs& args) noexcept;
void act(ops::OpContext& context, const ops::ActArgs& args) noexcept;
void quantize(ops::OpContext& context, const ops::QuantizeArgs& args) noexcept;
void rope_angles(ops::OpContext& context, const ops::RopeAnglesArgs& args) noexcept;
void rope(ops::OpContext& context, const ops::RopeArgs& args) noexcept;
/// Into a cache whose rows lie plain: [num_blocks, 2 (k, v), num_kv_heads, block_size, row extent].
void kv_append(ops::OpContext& context, const ops::KvAppendArgs& args) noexcept;
/// Into such a cache.
void rope_append(ops::OpContext& context, const ops::RopeAppendArgs& args) noexcept;

}  // namespace veloz::cuda
