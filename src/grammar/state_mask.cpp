// SPDX-License-Identifier: Apache-2.0
#include "grammar/state_mask.h"

#include <algorithm>

#include "grammar/mask_bits.h"
#include "grammar/tree_walk.h"
#include "grammar/vocabulary.h"

namespace veloz::grammar {
namespace {

/// Of one walk over the vocabulary: some hundred units per token.
constexpr int64_t kWorkPerWalk = int64_t{1} << 25;

}  // namespace

StateMask::StateMask(const Program& program, const Vocabulary& vocabulary,
                     std::span<const Item> chain) {
  if (chain.size() == 1 && program.rule_of(chain[0].state).is_leaf)
    walk_leaf(program, vocabulary, chain[0].state);
  else
    walk_chain(program, vocabulary, chain);
  pack(vocabulary.num_mask_words());
}

/// Where some text goes on from the node with a byte that may follow.
void StateMask::add_exit(const Vocabulary& vocabulary, const Exit& exit, const ByteSet& follow) {
  const auto nodes = vocabulary.nodes();
  size_t num_nodes = 0;
  for (uint32_t child = exit.node + 1; child < nodes[exit.node].end; child = nodes[child].end)
    if (follow[nodes[child].byte]) num_nodes += nodes[child].end - child;
  if (num_nodes == 0) return;
  num_nodes_beyond_ += num_nodes;
  exits_.push_back(exit);
}

void StateMask::walk_leaf(const Program& program, const Vocabulary& vocabulary, uint32_t start) {
  struct Place {
    uint32_t state = 0;
    uint32_t count = 0;
  };
  const auto nodes = vocabulary.nodes();
  const ByteSet& follow = program.rule_of(start).follow;
  std::vector<Place> path(vocabulary.max_token_bytes() + 1);
  std::vector<std::vector<int32_t>> tokens_of_count(vocabulary.max_token_bytes() + 1);
  path[0] = {start, 0};
  for (uint32_t node = 1; node < nodes[0].end;) {
    const size_t depth = nodes[node].depth;
    const Program::State& from = program.state(path[depth - 1].state);
    const uint32_t to = program.next(from, nodes[node].byte);
    if (to == Program::kDead) {
      node = nodes[node].end;
      continue;
    }
    const uint32_t count = path[depth - 1].count + (from.is_counting ? 1 : 0);
    path[depth] = {to, count};
    const auto tokens = vocabulary.tokens_at(node);
    tokens_of_count[count].insert(tokens_of_count[count].end(), tokens.begin(), tokens.end());
    if (program.state(to).is_final) add_exit(vocabulary, {node, count}, follow);
    ++node;
  }
  while (tokens_of_count.size() > 1 && tokens_of_count.back().empty()) tokens_of_count.pop_back();
  for (const std::vector<int32_t>& tokens : tokens_of_count) {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    ends_.push_back(static_cast<uint32_t>(tokens_.size()));
  }
}

void StateMask::walk_chain(const Program& program, const Vocabulary& vocabulary,
                           std::span<const Item> chain) {
  Machine machine(program);
  machine.limit_work(kWorkPerWalk);
  std::vector<Machine::Frame> frames;
  const ByteSet& follow = program.rule_of(chain.back().state).follow;
  walk_tree(machine, vocabulary, 0, machine.start_within(chain), frames,
            [&](uint32_t node, const Machine::Frame& frame) {
              const auto tokens = vocabulary.tokens_at(node);
              tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
              if (frame.is_complete) add_exit(vocabulary, {.node = node}, follow);
            });
  ends_.push_back(static_cast<uint32_t>(tokens_.size()));
}

/// Keeps what serves quickest: bits, a list of tokens, or both where counts matter.
void StateMask::pack(size_t num_words) {
  const bool is_counted = ends_.size() > 1;
  if (tokens_.size() >= num_words) {
    bits_.assign(num_words, 0);
    for (const int32_t token : tokens_) set_bit(bits_, token);
    if (!is_counted) tokens_.clear();
  }
  tokens_.shrink_to_fit();
  exits_.shrink_to_fit();
}

void StateMask::add_to(std::span<uint32_t> allowed, uint32_t max_count) const {
  const size_t num_counts = std::min<size_t>(max_count, ends_.size() - 1) + 1;
  const size_t end = ends_[num_counts - 1];
  if (bits_.empty() || (num_counts < ends_.size() && end <= tokens_.size() / 2)) {
    for (size_t i = 0; i < end; ++i) set_bit(allowed, tokens_[i]);
    return;
  }
  if (num_counts == ends_.size()) {
    for (size_t i = 0; i < bits_.size(); ++i) allowed[i] |= bits_[i];
    return;
  }
  std::vector<uint32_t> bits = bits_;
  for (size_t i = end; i < tokens_.size(); ++i) clear_bit(bits, tokens_[i]);
  for (size_t i = 0; i < bits.size(); ++i) allowed[i] |= bits[i];
}

size_t StateMask::num_bytes() const {
  return sizeof(StateMask) + tokens_.size() * sizeof(int32_t) + ends_.size() * sizeof(uint32_t) +
         bits_.size() * sizeof(uint32_t) + exits_.size() * sizeof(Exit);
}

}  // namespace veloz::grammar
