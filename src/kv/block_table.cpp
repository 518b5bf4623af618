// SPDX-License-Identifier: Apache-2.0
#include "kv/block_table.h"

#include <utility>

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::kv {

BlockTable::BlockTable(BlockTable&& other) noexcept
    : pool_(other.pool_),
      block_size_(other.block_size_),
      num_positions_(std::exchange(other.num_positions_, 0)),
      blocks_(std::exchange(other.blocks_, {})) {}

BlockTable& BlockTable::operator=(BlockTable&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(block_size_, other.block_size_);
  std::swap(num_positions_, other.num_positions_);
  std::swap(blocks_, other.blocks_);
  return *this;
}

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

int64_t BlockTable::num_extendable() const {
  const int64_t num_free = pool_->num_free() - (has_shared_tail() ? 1 : 0);
  return num_free < 0 ? 0 : (num_blocks() + num_free) * block_size_ - num_positions_;
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

void BlockTable::append(BlockHold block) {
  VELOZ_CHECK(num_positions_ == num_blocks() * block_size_, "a block behind {} positions",
              num_positions_);
  blocks_.push_back(std::move(block));
  num_positions_ += block_size_;
}

void BlockTable::replace(int64_t index, BlockHold block) {
  VELOZ_CHECK((index + 1) * block_size_ <= num_positions_, "block {} of {} positions is not full",
              index, num_positions_);
  blocks_[static_cast<size_t>(index)] = std::move(block);
}

void BlockTable::clear() noexcept {
  while (!blocks_.empty()) blocks_.pop_back();
  num_positions_ = 0;
}

}  // namespace veloz::kv
