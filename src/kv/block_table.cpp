// SPDX-License-Identifier: Apache-2.0
#include "kv/block_table.h"

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::kv {

int64_t BlockTable::slot(int64_t position) const {
  VELOZ_DCHECK(position >= 0 && position < num_positions_, "position {} of {}", position,
               num_positions_);
  return static_cast<int64_t>(block(position / block_size_)) * block_size_ + position % block_size_;
}

bool BlockTable::has_shared_tail() const {
  return num_positions_ % block_size_ != 0 && blocks_.back().is_shared();
}

int64_t BlockTable::num_blocks_to_extend(int64_t count) const {
  if (count == 0) return 0;
  return ceil_div(num_positions_ + count, block_size_) - num_blocks() + (has_shared_tail() ? 1 : 0);
}

bool BlockTable::try_extend(int64_t count, std::vector<BlockCopy>& copies) {
  if (num_blocks_to_extend(count) > pool_->num_free()) return false;
  if (count == 0) return true;
  if (has_shared_tail()) {
    BlockHold own = *pool_->try_allocate();
    copies.push_back({blocks_.back().id(), own.id()});
    blocks_.back() = std::move(own);
  }
  num_positions_ += count;
  while (num_blocks() * block_size_ < num_positions_) blocks_.push_back(*pool_->try_allocate());
  return true;
}

BlockTable BlockTable::fork() const {
  BlockTable child(*pool_, block_size_);
  child.num_positions_ = num_positions_;
  child.blocks_.reserve(blocks_.size() + 1);
  for (const BlockHold& block : blocks_) child.blocks_.push_back(block.share());
  return child;
}

}  // namespace veloz::kv
