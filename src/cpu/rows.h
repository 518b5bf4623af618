// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/row_tile.h"
#include "ops/activation.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/norm.h"
#include "ops/quantize.h"
#include "ops/rope.h"
#include "ops/rope_append.h"

namespace veloz::cpu {

// Ops that map rows of fp32 or bf16 to rows. Threads take rows; a few short ones stay on the
// caller.

/// One row of each thread where the op's output is quantized, nothing otherwise.
size_t rows_workspace_bytes(const ops::OpCall& call, int num_threads);

/// rms_norm and add_rms_norm.
void rms_norm(ops::OpContext& context, const ops::RmsNormArgs& args,
              const RowMicros& micros) noexcept;
/// layer_norm and add_layer_norm.
void layer_norm(ops::OpContext& context, const ops::LayerNormArgs& args,
                const RowMicros& micros) noexcept;
void add(ops::OpContext& context, const ops::AddArgs& args, const RowMicros& micros) noexcept;
/// act and gated_act.
void act(ops::OpContext& context, const ops::ActArgs& args, const RowMicros& micros) noexcept;
void rope(ops::OpContext& context, const ops::RopeArgs& args, const RowMicros& micros) noexcept;
void rope_append(ops::OpContext& context, const ops::RopeAppendArgs& args,
                 const RowMicros& micros) noexcept;
/// One row of k of each thread.
size_t rope_append_workspace_bytes(const ops::OpCall& call, int num_threads);
void quantize(ops::OpContext& context, const ops::QuantizeArgs& args,
              const RowMicros& micros) noexcept;

/// Kernel::run of one of the above for a set of micro-kernels.
template <typename Args, void (*front)(ops::OpContext&, const Args&, const RowMicros&) noexcept,
          const RowMicros& micros>
void run_rows(ops::OpContext& context, const ops::OpCall& call) noexcept {
  front(context, Args::from(call), micros);
}

}  // namespace veloz::cpu
