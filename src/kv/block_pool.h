// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace veloz::kv {

/// Identity of one block of the paged cache: its index in every layer's cache tensor.
enum class BlockId : int32_t {};

class BlockPool;

/// One hold on a block, given back on destruction. A block is free again when its last hold is
/// gone.
class BlockHold {
 public:
  BlockHold(BlockHold&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), id_(other.id_) {}
  BlockHold& operator=(BlockHold&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~BlockHold();

  BlockId id() const { return id_; }
  /// A second hold on the same block.
  BlockHold share() const;
  /// True where somebody else holds the block too, so that it must not be written.
  bool is_shared() const;

 private:
  friend class BlockPool;
  BlockHold(BlockPool& pool, BlockId id) : pool_(&pool), id_(id) {}

  BlockPool* pool_;  // null after a move
  BlockId id_;
};

/// The books of the paged KV cache: which blocks are free, and how many holders each other one has.
/// No device memory, no policy. Owned by the scheduler, used on its thread; outlives every hold.
/// Invariant: free + held == total, always.
class BlockPool {
 public:
  explicit BlockPool(int64_t num_blocks);
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  /// A block nobody holds, or nothing where there is none left.
  [[nodiscard]] std::optional<BlockHold> try_allocate();

  int64_t num_blocks() const { return static_cast<int64_t>(num_holders_.size()); }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }
  int64_t num_held() const { return num_blocks() - num_free(); }
  int64_t num_holders(BlockId id) const;

  /// Throws Error(internal) where the books are wrong.
  void check_invariants() const;

 private:
  friend class BlockHold;
  void retain(BlockId id);
  void release(BlockId id) noexcept;

  std::vector<BlockId> free_;         // a stack: the block freed last is still in a CPU's caches
  std::vector<int32_t> num_holders_;  // [num_blocks]
};

}  // namespace veloz::kv
