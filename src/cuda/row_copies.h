// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/feed_tokens.h"
#include "ops/gather.h"
#include "ops/kernel.h"

/// Ops that only move numbers, on the GPU. Tables lie plain.
namespace veloz::cuda {

void embedding(ops::OpContext& context, const ops::EmbeddingArgs& args) noexcept;
void feed_tokens(ops::OpContext& context, const ops::FeedTokensArgs& args) noexcept;
void gather_rows(ops::OpContext& context, const ops::GatherRowsArgs& args) noexcept;
void permute_columns(ops::OpContext& context, const ops::PermuteColumnsArgs& args) noexcept;

}  // namespace veloz::cuda
