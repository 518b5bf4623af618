// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv/block_pool.h"

namespace veloz::kv {

/// A whole block to be copied, in every layer, before the step writes into `to`.
struct BlockCopy {
  BlockId from{};
  BlockId to{};
  bool operator==(const BlockCopy&) const = default;
};

/// Where the positions of one sequence lie in the cache: position p is in block p / block_size.
/// Owns its holds on the blocks and gives them back on destruction, the last block first, so that
/// of kept blocks the end of a prefix is always reused before its beginning. Forks share all
/// blocks; a shared block is never written: the first to extend into it gets a copy (the last one
/// keeps the block). Invariant: blocks().size() == ceil(num_positions / block_size).
class BlockTable {
 public:
  /// `pool` outlives the table.
  BlockTable(BlockPool& pool, int64_t block_size) : pool_(&pool), block_size_(block_size) {}
  BlockTable(BlockTable&& other) noexcept;
  BlockTable& operator=(BlockTable&& other) noexcept;
  ~BlockTable() { clear(); }

  int64_t num_positions() const { return num_positions_; }
  int64_t num_blocks() const { return static_cast<int64_t>(blocks_.size()); }
  BlockId block(int64_t index) const { return blocks_[static_cast<size_t>(index)].id(); }
  /// Cache slot (block * block_size + offset) of a position below num_positions.
  int64_t slot(int64_t position) const;
  /// The block that holds the last position, where it has room and others hold it too: extending
  /// copies it.
  bool has_shared_tail() const;

  /// Blocks that extending by `count` positions takes from the pool, copies included.
  int64_t num_blocks_to_extend(int64_t count) const;
  /// Most positions that the free blocks allow to extend by.
  int64_t num_extendable() const;
  /// Makes the next `count` positions writable. Where the pool has too few blocks nothing changes
  /// and the answer is false. `copies` receives the block to copy, if any: it must be done before
  /// the positions are written, and before `from` is released by all its holders.
  [[nodiscard]] bool try_extend(int64_t count, std::vector<BlockCopy>& copies);

  /// A table over the same positions that shares every block, the partial last one included.
  BlockTable fork() const;

  /// Takes a full block behind the last one, which is full too.
  void append(BlockHold block);
  /// Takes another block of equal content in the place of a full one.
  void replace(int64_t index, BlockHold block);
  /// Gives all blocks back.
  void clear() noexcept;

 private:
  BlockPool* pool_;
  int64_t block_size_;
  int64_t num_positions_ = 0;
  std::vector<BlockHold> blocks_;
};

}  // namespace veloz::kv
