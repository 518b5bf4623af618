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
  num_holders_.assign(static_cast<size_t>(num_blocks), 0);
  free_.reserve(num_holders_.size());  // so that release, which runs in destructors, cannot throw
  for (int64_t i = num_blocks; i-- > 0;) free_.push_back(BlockId{narrow<int32_t>(i)});
}

std::optional<BlockHold> BlockPool::try_allocate() {
  if (free_.empty()) return std::nullopt;
  const BlockId id = free_.back();
  free_.pop_back();
  retain(id);
  return BlockHold(*this, id);
}

int64_t BlockPool::num_holders(BlockId id) const { return num_holders_[static_cast<size_t>(id)]; }

void BlockPool::retain(BlockId id) { ++num_holders_[static_cast<size_t>(id)]; }

void BlockPool::release(BlockId id) noexcept {
  if (--num_holders_[static_cast<size_t>(id)] == 0) free_.push_back(id);
}

void BlockPool::check_invariants() const {
  std::vector<bool> is_free(num_holders_.size(), false);
  for (const BlockId id : free_) {
    const auto i = static_cast<size_t>(id);
    VELOZ_CHECK(!is_free[i], "block {} is in the free list twice", i);
    is_free[i] = true;
  }
  for (size_t i = 0; i < num_holders_.size(); ++i)
    VELOZ_CHECK(num_holders_[i] >= 0 && is_free[i] == (num_holders_[i] == 0),
                "block {} has {} holders and is {}", i, num_holders_[i],
                is_free[i] ? "free" : "not free");
}

}  // namespace veloz::kv
