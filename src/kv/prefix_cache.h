// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kv/block_pool.h"
#include "kv/block_table.h"

namespace veloz::kv {

/// Finds full blocks again by the tokens in them and before them. A tree: a block's node knows its
/// parent (the block before it) and its own tokens, and the first ones their salt. A hash finds the
/// candidate; parent, tokens and salt decide, so that a collision can never hand out the wrong
/// block (of two nodes with one hash only the first is kept).
///
/// Blocks of the tree are kept in the pool: unreferenced they count as free and are evicted least
/// recently used first, which is always a leaf (see BlockTable). Used on the scheduler's thread.
/// Invariant: who holds a block of the tree holds its parent too.
class PrefixCache {
 public:
  using Hash = uint64_t (*)(std::span<const std::byte>);

  /// `pool` outlives the cache and has no other. `hash` is another one in tests alone.
  PrefixCache(BlockPool& pool, int64_t block_size, Hash hash = nullptr);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  /// A table over the longest chain of known blocks that `tokens` begins with.
  BlockTable find(std::span<const int32_t> tokens, std::string_view salt) const;

  /// Enters the blocks of `table` that `tokens`, those computed at its first positions, fill; the
  /// first `num_entered` are in the tree already. Where the tree holds an equal block the table
  /// takes that one and gives its own back. Returns how many of the first blocks are in the tree
  /// now.
  int64_t enter(BlockTable& table, std::span<const int32_t> tokens, std::string_view salt,
                int64_t num_entered);

  int64_t num_entries() const { return static_cast<int64_t>(by_hash_.size()); }
  /// Throws Error(internal) where the tree is wrong.
  void check_invariants() const;

 private:
  static constexpr BlockId kRoot{-1};

  struct Node {
    BlockId parent = kRoot;
    uint64_t hash = 0;
    int64_t num_children = 0;
    std::string salt;  // of first blocks
  };
  /// What names a block.
  struct Key {
    BlockId parent = kRoot;
    std::span<const int32_t> tokens;  // [block_size]
    std::string_view salt;
  };

  uint64_t hash_of(const Key& key) const;
  bool is(BlockId id, const Key& key) const;
  void insert(BlockId id, const Key& key, uint64_t hash);
  void forget(BlockId id);
  std::span<int32_t> tokens_of(BlockId id);
  std::span<const int32_t> tokens_of(BlockId id) const;

  BlockPool* pool_;
  int64_t block_size_;
  Hash hash_;
  std::unordered_map<uint64_t, BlockId> by_hash_;
  std::vector<Node> nodes_;      // [num_blocks]
  std::vector<int32_t> tokens_;  // [num_blocks, block_size]
};

}  // namespace veloz::kv
