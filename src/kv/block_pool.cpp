// SPDX-License-Identifier: Apache-2.0
#include "kv/block_pool.h"

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::kv {

BlockHold::~BlockHold() {
  if (pool_ != nullptr) pool_->release(id_);
}

BlockHold BlockHold::share() const {
  pool_->retain(id_);
  return {*pool_, id_};
}

bool BlockHold::is_shared() const { return pool_->num_holders(id_) > 1; }

BlockPool::BlockPool(int64_t num_blocks) {
  VELOZ_CHECK(num_blocks >= 1, "a pool of {} blocks", num_blocks);
  states_.resize(static_cast<size_t>(num_blocks));
  free_.reserve(states_.size());  // so that release, which runs in destructors, cannot throw
  for (int64_t i = num_blocks; i-- > 0;) free_.push_back(BlockId{narrow<int32_t>(i)});
}

std::optional<BlockHold> BlockPool::try_allocate() {
  BlockId id = kNone;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else if (oldest_ != kNone) {
    id = oldest_;
    unlink_kept(id);
    state(id).is_kept = false;
    if (on_reuse_) on_reuse_(id);
  } else {
    return std::nullopt;
  }
  retain(id);
  return BlockHold(*this, id);
}

void BlockPool::keep(BlockId id) {
  VELOZ_CHECK(state(id).num_holders > 0, "block {} is kept, and nobody holds it",
              static_cast<int32_t>(id));
  state(id).is_kept = true;
}

BlockHold BlockPool::hold(BlockId id) {
  VELOZ_CHECK(state(id).is_kept, "block {} is not kept", static_cast<int32_t>(id));
  if (state(id).num_holders == 0) unlink_kept(id);
  retain(id);
  return {*this, id};
}

void BlockPool::release(BlockId id) noexcept {
  if (--state(id).num_holders > 0) return;
  if (state(id).is_kept)
    append_kept(id);
  else
    free_.push_back(id);
}

void BlockPool::append_kept(BlockId id) noexcept {
  state(id).older = newest_;
  state(id).newer = kNone;
  (newest_ == kNone ? oldest_ : state(newest_).newer) = id;
  newest_ = id;
  ++num_kept_free_;
}

void BlockPool::unlink_kept(BlockId id) noexcept {
  const State& s = state(id);
  (s.older == kNone ? oldest_ : state(s.older).newer) = s.newer;
  (s.newer == kNone ? newest_ : state(s.newer).older) = s.older;
  --num_kept_free_;
}

void BlockPool::check_invariants() const {
  std::vector<bool> is_free(states_.size(), false);
  const auto note = [&](BlockId id, bool is_kept) {
    const auto i = static_cast<size_t>(id);
    VELOZ_CHECK(!is_free[i], "block {} is free twice", i);
    VELOZ_CHECK(states_[i].is_kept == is_kept, "block {} stands in the wrong free list", i);
    is_free[i] = true;
  };
  for (const BlockId id : free_) note(id, false);
  int64_t num_kept_free = 0;
  for (BlockId id = oldest_; id != kNone; id = state(id).newer) {
    note(id, true);
    ++num_kept_free;
  }
  VELOZ_CHECK(num_kept_free == num_kept_free_, "{} free kept blocks, {} noted", num_kept_free,
              num_kept_free_);
  for (size_t i = 0; i < states_.size(); ++i)
    VELOZ_CHECK(states_[i].num_holders >= 0 && is_free[i] == (states_[i].num_holders == 0),
                "block {} has {} holders and is {}", i, states_[i].num_holders,
                is_free[i] ? "free" : "not free");
}

}  // namespace veloz::kv
