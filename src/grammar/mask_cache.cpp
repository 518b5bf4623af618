// SPDX-License-Identifier: Apache-2.0
#include "grammar/mask_cache.h"

#include <utility>

#include "grammar/program.h"

namespace veloz::grammar {
namespace {

/// Leaves larger than this, or once so many bytes of them are known, have an id per grammar.
constexpr size_t kMaxLeafBytes = size_t{64} << 10;
constexpr size_t kMaxLeafKeysBytes = size_t{16} << 20;
constexpr size_t kEntryBytes = 256;  // of list, map and keys

}  // namespace

MaskCache::RuleIds MaskCache::rule_ids(const GrammarPtr& grammar) {
  {
    const std::lock_guard lock(mutex_);
    if (RuleIds known = known_ids(grammar)) return known;
  }
  // Outside the lock: others fill masks meanwhile.
  const Program& program = grammar->program();
  std::vector<std::string> keys(program.num_rules());
  for (uint32_t rule = 0; rule < program.num_rules(); ++rule)
    if (program.rule(rule).is_leaf && program.num_table_bytes(rule) <= kMaxLeafBytes)
      keys[rule] = program.leaf_key(rule);

  const std::lock_guard lock(mutex_);
  if (RuleIds known = known_ids(grammar)) return known;
  auto ids = std::make_shared<std::vector<uint64_t>>();
  for (const std::string& key : keys) ids->push_back(key.empty() ? next_id_++ : leaf_id(key));
  grammars_[grammar.get()] = {grammar, ids};
  if (grammars_.size() > 2 * grammars_at_last_sweep_ + 16) forget_dead_grammars();
  return ids;
}

/// Null where there are none; the address may be that of a grammar that is gone.
MaskCache::RuleIds MaskCache::known_ids(const GrammarPtr& grammar) {
  const auto known = grammars_.find(grammar.get());
  if (known == grammars_.end() || known->second.grammar.lock() != grammar) return nullptr;
  return known->second.ids;
}

uint64_t MaskCache::leaf_id(const std::string& key) {
  if (const auto found = leaf_ids_.find(key); found != leaf_ids_.end()) return found->second;
  if (leaf_key_bytes_ + key.size() > kMaxLeafKeysBytes) return next_id_++;
  leaf_key_bytes_ += key.size();
  return leaf_ids_.emplace(key, next_id_++).first->second;
}

void MaskCache::forget_dead_grammars() {
  std::erase_if(grammars_, [](const auto& entry) { return entry.second.grammar.expired(); });
  grammars_at_last_sweep_ = grammars_.size();
}

MaskCache::MaskPtr MaskCache::find(const Key& key) {
  const std::lock_guard lock(mutex_);
  const auto found = found_.find(key);
  if (found == found_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->mask;
}

void MaskCache::insert(const Key& key, MaskPtr mask) {
  const std::lock_guard lock(mutex_);
  if (found_.contains(key)) return;
  num_bytes_ += mask->num_bytes() + kEntryBytes;
  entries_.push_front({key, std::move(mask)});
  found_.emplace(key, entries_.begin());
  while (num_bytes_ > max_bytes_ && entries_.size() > 1) {
    num_bytes_ -= entries_.back().mask->num_bytes() + kEntryBytes;
    found_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

size_t MaskCache::num_bytes() const {
  const std::lock_guard lock(mutex_);
  return num_bytes_;
}

}  // namespace veloz::grammar
