// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/attention.h"
#include "ops/gather.h"
#include "ops/kernel.h"
#include "ops/kv_layout.h"

namespace veloz::cpu {

// Ops that only move elements, rows shared out over the threads. The compiler's copies do, so there
// is one of each for all instruction sets.

void gather_rows(ops::OpContext& context, const ops::GatherRowsArgs& args) noexcept;
/// From a table in layout "plain".
void embedding(ops::OpContext& context, const ops::EmbeddingArgs& args) noexcept;
/// From a table in the panels that `linear` reads (cpu/layouts.h).
void packed_embedding(ops::OpContext& context, const ops::EmbeddingArgs& args) noexcept;
void permute_columns(ops::OpContext& context, const ops::PermuteColumnsArgs& args) noexcept;
void kv_append(ops::OpContext& context, const ops::KvAppendArgs& args) noexcept;
/// Row t of kv_append into a cache of the dtype of k and v.
void copy_kv_row(const ops::KvAppendArgs& args, const ops::KvLayout& layout, int64_t t);

}  // namespace veloz::cpu
