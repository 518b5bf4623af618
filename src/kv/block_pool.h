// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
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
/// A kept block is one whose content may be wanted again: free, it counts as free, but is taken for
/// something else only when nothing else is left, the one freed longest ago first.
/// Invariant: free + held == total, always.
class BlockPool {
 public:
  explicit BlockPool(int64_t num_blocks);
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  /// A block nobody holds, or nothing where there is none left.
  [[nodiscard]] std::optional<BlockHold> try_allocate();

  /// Keeps a block that somebody holds.
  void keep(BlockId id);
  /// A hold on a kept block, free or not.
  BlockHold hold(BlockId id);
  /// Called with each kept block that is taken for something else and so is kept no more.
  void set_on_reuse(std::function<void(BlockId)> on_reuse) { on_reuse_ = std::move(on_reuse); }

  int64_t num_blocks() const { return static_cast<int64_t>(states_.size()); }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()) + num_kept_free_; }
  int64_t num_held() const { return num_blocks() - num_free(); }
  int64_t num_holders(BlockId id) const { return state(id).num_holders; }
  bool is_kept(BlockId id) const { return state(id).is_kept; }

  /// Throws Error(internal) where the books are wrong.
  void check_invariants() const;

 private:
  friend class BlockHold;
  static constexpr BlockId kNone{-1};

  struct State {
    int32_t num_holders = 0;
    bool is_kept = false;
    // Neighbours among the free kept blocks, in the order they became free.
    BlockId older = kNone;
    BlockId newer = kNone;
  };

  State& state(BlockId id) { return states_[static_cast<size_t>(id)]; }
  const State& state(BlockId id) const { return states_[static_cast<size_t>(id)]; }
  void retain(BlockId id) { ++state(id).num_holders; }
  void release(BlockId id) noexcept;
  void append_kept(BlockId id) noexcept;
  void unlink_kept(BlockId id) noexcept;

  std::vector<BlockId> free_;  // not kept; a stack: the one freed last is still in a CPU's caches
  std::vector<State> states_;  // [num_blocks]
  int64_t num_kept_free_ = 0;
  BlockId oldest_ = kNone;
  BlockId newest_ = kNone;
  std::function<void(BlockId)> on_reuse_;
};

}  // namespace veloz::kv
