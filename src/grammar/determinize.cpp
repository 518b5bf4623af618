// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "grammar/dfa_shape.h"
#include "grammar/nfa.h"

namespace veloz::grammar {
namespace {

/// Edges by the state they leave.
class EdgesOfState {
 public:
  explicit EdgesOfState(const Nfa& nfa) : begin_(nfa.num_states() + size_t{1}, 0) {
    for (const Nfa::Edge& edge : nfa.edges()) ++begin_[edge.from + size_t{1}];
    for (size_t i = 1; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
    edges_.resize(nfa.edges().size());
    std::vector<uint32_t> at(begin_.begin(), begin_.end() - 1);
    for (const Nfa::Edge& edge : nfa.edges()) edges_[at[edge.from]++] = edge;
  }

  std::span<const Nfa::Edge> operator[](uint32_t state) const {
    return std::span(edges_).subspan(begin_[state], begin_[state + size_t{1}] - begin_[state]);
  }

 private:
  std::vector<uint32_t> begin_;
  std::vector<Nfa::Edge> edges_;
};

/// Runs of bytes between which no edge of the automaton tells a difference.
struct Intervals {
  explicit Intervals(const Nfa& nfa) {
    std::array<bool, 257> starts{};
    starts[0] = true;
    for (const Nfa::Edge& edge : nfa.edges()) {
      if (edge.kind != Nfa::EdgeKind::bytes) continue;
      starts[edge.first] = true;
      starts[edge.last + size_t{1}] = true;
    }
    for (size_t byte = 0; byte < 256; ++byte) {
      if (starts[byte]) ++count;
      of_byte[byte] = static_cast<uint8_t>(count - 1);
    }
  }
  std::array<uint8_t, 256> of_byte{};
  uint32_t count = 0;
};

class SubsetConstruction {
 public:
  SubsetConstruction(const Nfa& nfa, uint32_t end, Budget& budget)
      : edges_(nfa),
        end_(end),
        budget_(budget),
        intervals_(nfa),
        seen_(nfa.num_states(), 0),
        targets_(intervals_.count) {}

  Dfa run(uint32_t start) {
    dfa_.class_of = intervals_.of_byte;
    dfa_.num_classes = intervals_.count;
    const std::vector<uint32_t> first = {start};
    state_of(first);
    for (uint32_t state = 0; state < sets_.size(); ++state) expand(state);
    return std::move(dfa_);
  }

 private:
  /// The state for all that the targets reach without a byte, made where it is new.
  uint32_t state_of(std::span<const uint32_t> targets) {
    const std::vector<uint32_t> members = closure(targets);
    if (members.empty()) return Dfa::kDead;
    std::string key(members.size() * sizeof(uint32_t), '\0');
    std::memcpy(key.data(), members.data(), key.size());
    const auto [found, is_new] = states_.try_emplace(std::move(key), dfa_.num_states());
    if (!is_new) return found->second;
    budget_.check_states_at_once(dfa_.num_states() + int64_t{1});
    sets_.push_back(&found->first);
    set_bytes_ += found->first.size() + intervals_.count * sizeof(uint32_t) + kBytesPerState;
    budget_.check_memory_at_once(set_bytes_);
    dfa_.is_final.push_back(std::binary_search(members.begin(), members.end(), end_) ? 1 : 0);
    return found->second;
  }

  /// Sorted, without the states that have nothing but empty edges.
  std::vector<uint32_t> closure(std::span<const uint32_t> targets) {
    ++round_;
    std::vector<uint32_t> members;
    std::vector<uint32_t> open;
    const auto visit = [&](uint32_t state) {
      if (std::exchange(seen_[state], round_) != round_) open.push_back(state);
    };
    for (const uint32_t target : targets) visit(target);
    while (!open.empty()) {
      budget_.tick();
      const uint32_t state = open.back();
      open.pop_back();
      bool matters = state == end_;
      for (const Nfa::Edge& edge : edges_[state]) {
        if (edge.kind == Nfa::EdgeKind::empty)
          visit(edge.to);
        else
          matters = true;
      }
      if (matters) members.push_back(state);
    }
    std::sort(members.begin(), members.end());
    return members;
  }

  void expand(uint32_t state) {
    std::map<RuleId, std::vector<uint32_t>> called;
    for (std::vector<uint32_t>& targets : targets_) targets.clear();
    const std::string& set = *sets_[state];
    for (size_t i = 0; i < set.size(); i += sizeof(uint32_t)) {
      budget_.tick();
      uint32_t member = 0;
      std::memcpy(&member, set.data() + i, sizeof(member));
      for (const Nfa::Edge& edge : edges_[member]) {
        if (edge.kind == Nfa::EdgeKind::call) called[edge.rule].push_back(edge.to);
        if (edge.kind != Nfa::EdgeKind::bytes) continue;
        for (size_t k = intervals_.of_byte[edge.first]; k <= intervals_.of_byte[edge.last]; ++k)
          targets_[k].push_back(edge.to);
      }
    }
    for (size_t k = 0; k < targets_.size(); ++k) {
      const bool is_as_before = k > 0 && targets_[k] == targets_[k - 1];
      dfa_.next.push_back(is_as_before ? dfa_.next.back() : state_of(targets_[k]));
    }
    for (const auto& [rule, targets] : called) {
      const uint32_t to = state_of(targets);
      if (to != Dfa::kDead) dfa_.calls.push_back({state, rule, to});
    }
  }

  static constexpr size_t kBytesPerState = 96;  // of the map and the lists

  const EdgesOfState edges_;
  const uint32_t end_;
  Budget& budget_;
  const Intervals intervals_;
  std::vector<uint32_t> seen_;  // the round in which a state was last seen
  uint32_t round_ = 0;
  std::vector<std::vector<uint32_t>> targets_;  // per interval
  std::unordered_map<std::string, uint32_t> states_;
  std::vector<const std::string*> sets_;  // keys of `states_`
  size_t set_bytes_ = 0;
  Dfa dfa_;
};

}  // namespace

Dfa determinize(const Nfa& nfa, uint32_t start, uint32_t end, Budget& budget) {
  return compact(SubsetConstruction(nfa, end, budget).run(start));
}

}  // namespace veloz::grammar
