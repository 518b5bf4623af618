// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "grammar/machine.h"
#include "grammar/program.h"

namespace veloz::grammar {

class Vocabulary;

/// Which tokens may come at one state of a rule, as far as that rule decides it, or it and those
/// that called it.
class StateMask {
 public:
  /// A token's text may end the outermost of the rules within: what is below the node is then
  /// decided by what stands around it.
  struct Exit {
    uint32_t node = 0;   // of the vocabulary
    uint32_t count = 0;  // times round the loop until there, in a counted leaf
  };

  /// The first item, in a call that goes on at the second once it ends, and so on. One of a leaf is
  /// for all counts at once; else the counts may be any that are as near to their bounds.
  StateMask(const Program& program, const Vocabulary& vocabulary, std::span<const Item> chain);

  /// Sets the bits of the tokens that go round the loop at most `max_count` times.
  void add_to(std::span<uint32_t> allowed, uint32_t max_count) const;
  std::span<const Exit> exits() const { return exits_; }
  /// How many nodes of the vocabulary have to be looked at beyond the exits, at most.
  size_t num_nodes_beyond() const { return num_nodes_beyond_; }
  size_t num_bytes() const;

 private:
  void walk_leaf(const Program& program, const Vocabulary& vocabulary, uint32_t state);
  void walk_chain(const Program& program, const Vocabulary& vocabulary,
                  std::span<const Item> chain);
  void add_exit(const Vocabulary& vocabulary, const Exit& exit, const ByteSet& follow);
  void pack(size_t num_words);

  // Tokens by how often they go round: count i has [ends_[i - 1], ends_[i]). One count where
  // nothing counts.
  std::vector<int32_t> tokens_;
  std::vector<uint32_t> ends_;
  std::vector<uint32_t> bits_;  // of all tokens; empty where there are few
  std::vector<Exit> exits_;
  size_t num_nodes_beyond_ = 0;
};

}  // namespace veloz::grammar
