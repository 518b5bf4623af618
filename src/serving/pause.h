// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kv/block_pool.h"
#include "serving/sequence.h"

/// Pausing a group gives all its blocks back and keeps its tokens; what was in the cache is
/// computed again later, with the same bits. Its sequences share again what they begin with: the
/// first one computes it, then the others fork from there and compute the rest each for itself.
namespace veloz::serving {

/// No step in flight may hold the group.
void pause(SequenceGroup& group);

/// Blocks for all tokens of a group that holds none.
int64_t num_blocks_of_known_tokens(const SequenceGroup& group, int64_t block_size);

/// Forks the others from the first sequence where that has scheduled what all share.
void spread_if_ready(SequenceGroup& group);

/// Blocks that one more token of each sequence takes, copies of shared ones included.
int64_t num_blocks_to_decode(const SequenceGroup& group, const kv::BlockPool& pool);

}  // namespace veloz::serving
