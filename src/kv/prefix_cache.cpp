// SPDX-License-Identifier: Apache-2.0
#include "kv/prefix_cache.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/hash.h"

namespace veloz::kv {

PrefixCache::PrefixCache(BlockPool& pool, int64_t block_size, Hash hash)
    : pool_(&pool), block_size_(block_size), hash_(hash != nullptr ? hash : &xxh3_64) {
  const auto num_blocks = static_cast<size_t>(pool.num_blocks());
  by_hash_.reserve(num_blocks);
  nodes_.resize(num_blocks);
  tokens_.resize(num_blocks * static_cast<size_t>(block_size));
  pool.set_on_reuse([this](BlockId id) { forget(id); });
}

PrefixCache::~PrefixCache() { pool_->set_on_reuse({}); }

BlockTable PrefixCache::find(std::span<const int32_t> tokens, std::string_view salt) const {
  BlockTable table(*pool_, block_size_);
  const auto block_size = static_cast<size_t>(block_size_);
  BlockId parent = kRoot;
  for (; tokens.size() >= block_size; tokens = tokens.subspan(block_size)) {
    const Key key{parent, tokens.first(block_size), parent == kRoot ? salt : std::string_view()};
    const auto candidate = by_hash_.find(hash_of(key));
    if (candidate == by_hash_.end() || !is(candidate->second, key)) break;
    parent = candidate->second;
    table.append(pool_->hold(parent));
  }
  return table;
}

int64_t PrefixCache::enter(BlockTable& table, std::span<const int32_t> tokens,
                           std::string_view salt, int64_t num_entered) {
  const int64_t num_full = std::ssize(tokens) / block_size_;
  for (; num_entered < num_full; ++num_entered) {
    const BlockId parent = num_entered == 0 ? kRoot : table.block(num_entered - 1);
    const Key key{parent,
                  tokens.subspan(static_cast<size_t>(num_entered * block_size_),
                                 static_cast<size_t>(block_size_)),
                  parent == kRoot ? salt : std::string_view()};
    const uint64_t hash = hash_of(key);
    const auto found = by_hash_.find(hash);
    if (found == by_hash_.end())
      insert(table.block(num_entered), key, hash);
    else if (!is(found->second, key))
      break;
    else if (found->second != table.block(num_entered))
      table.replace(num_entered, pool_->hold(found->second));
  }
  return num_entered;
}

uint64_t PrefixCache::hash_of(const Key& key) const {
  const std::array<uint64_t, 3> parts = {
      static_cast<uint64_t>(key.parent), hash_(std::as_bytes(key.tokens)),
      key.salt.empty() ? 0 : hash_(std::as_bytes(std::span(key.salt)))};
  return hash_(std::as_bytes(std::span(parts)));
}

bool PrefixCache::is(BlockId id, const Key& key) const {
  const Node& node = nodes_[static_cast<size_t>(id)];
  return node.parent == key.parent && node.salt == key.salt &&
         std::ranges::equal(tokens_of(id), key.tokens);
}

void PrefixCache::insert(BlockId id, const Key& key, uint64_t hash) {
  pool_->keep(id);
  by_hash_.emplace(hash, id);
  nodes_[static_cast<size_t>(id)] = {key.parent, hash, 0, std::string(key.salt)};
  std::ranges::copy(key.tokens, tokens_of(id).begin());
  if (key.parent != kRoot) ++nodes_[static_cast<size_t>(key.parent)].num_children;
}

void PrefixCache::forget(BlockId id) {
  const Node& node = nodes_[static_cast<size_t>(id)];
  VELOZ_CHECK(node.num_children == 0, "block {} is evicted before its {} children",
              static_cast<int32_t>(id), node.num_children);
  if (node.parent != kRoot) --nodes_[static_cast<size_t>(node.parent)].num_children;
  by_hash_.erase(node.hash);
}

std::span<int32_t> PrefixCache::tokens_of(BlockId id) {
  const auto block_size = static_cast<size_t>(block_size_);
  return std::span(tokens_).subspan(static_cast<size_t>(id) * block_size, block_size);
}
std::span<const int32_t> PrefixCache::tokens_of(BlockId id) const {
  const auto block_size = static_cast<size_t>(block_size_);
  return std::span(tokens_).subspan(static_cast<size_t>(id) * block_size, block_size);
}

void PrefixCache::check_invariants() const {
  std::vector<int64_t> num_children(nodes_.size(), 0);
  for (const auto& [hash, id] : by_hash_) {
    const Node& node = nodes_[static_cast<size_t>(id)];
    VELOZ_CHECK(node.hash == hash && pool_->is_kept(id), "block {} stands under another hash",
                static_cast<int32_t>(id));
    if (node.parent == kRoot) continue;
    VELOZ_CHECK(pool_->is_kept(node.parent), "the parent of block {} is gone",
                static_cast<int32_t>(id));
    VELOZ_CHECK(pool_->num_holders(id) == 0 || pool_->num_holders(node.parent) > 0,
                "block {} is held and its parent is not", static_cast<int32_t>(id));
    ++num_children[static_cast<size_t>(node.parent)];
  }
  for (const auto& [hash, id] : by_hash_)
    VELOZ_CHECK(
        num_children[static_cast<size_t>(id)] == nodes_[static_cast<size_t>(id)].num_children,
        "block {} has {} children, {} noted", static_cast<int32_t>(id),
        num_children[static_cast<size_t>(id)], nodes_[static_cast<size_t>(id)].num_children);
}

}  // namespace veloz::kv
