// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/state_mask.h"

namespace veloz::grammar {

/// Masks of one vocabulary, of all grammars in use: the least recently used ones go. Any thread.
class MaskCache {
 public:
  /// A mask belongs to states of rules, the innermost first, and to how near the rules' counts
  /// are to their bounds.
  struct Place {
    uint64_t rule = 0;
    uint32_t state = 0;  // within the rule
    uint32_t to_min = 0;
    uint32_t to_max = 0;
    uint32_t unused = 0;  // so that there is no padding
  };
  using Key = std::string;  // the bytes of its places
  using MaskPtr = std::shared_ptr<const StateMask>;
  using RuleIds = std::shared_ptr<const std::vector<uint64_t>>;

  explicit MaskCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  /// What stands for the grammar's rules in keys. Leaves that are the same in two grammars have
  /// one id, so that a string's masks are made once and not for each schema.
  RuleIds rule_ids(const GrammarPtr& grammar);

  /// Null where there is none.
  MaskPtr find(const Key& key);
  void insert(const Key& key, MaskPtr mask);
  size_t num_bytes() const;

 private:
  struct Entry {
    Key key;
    MaskPtr mask;
  };
  struct KnownGrammar {
    std::weak_ptr<const Grammar> grammar;
    RuleIds ids;
  };

  RuleIds known_ids(const GrammarPtr& grammar);
  uint64_t leaf_id(const std::string& key);
  void forget_dead_grammars();

  const size_t max_bytes_;
  mutable std::mutex mutex_;  // guards all below
  size_t num_bytes_ = 0;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<Key, std::list<Entry>::iterator> found_;
  uint64_t next_id_ = 0;
  std::unordered_map<std::string, uint64_t> leaf_ids_;
  size_t leaf_key_bytes_ = 0;
  std::unordered_map<const Grammar*, KnownGrammar> grammars_;
  size_t grammars_at_last_sweep_ = 0;
};

}  // namespace veloz::grammar
