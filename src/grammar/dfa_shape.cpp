// SPDX-License-Identifier: Apache-2.0
#include "grammar/dfa_shape.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "grammar/expression.h"

namespace veloz::grammar {
namespace {

/// Marks what can be reached from the seeds along `edges_of(state, visit)`.
template <typename EdgesOf>
std::vector<uint8_t> reach(size_t num_states, std::vector<uint32_t> open, const EdgesOf& edges_of) {
  std::vector<uint8_t> is_reached(num_states, 0);
  for (const uint32_t state : open) is_reached[state] = 1;
  while (!open.empty()) {
    const uint32_t state = open.back();
    open.pop_back();
    edges_of(state, [&](uint32_t to) {
      if (std::exchange(is_reached[to], uint8_t{1}) == 0) open.push_back(to);
    });
  }
  return is_reached;
}

/// Edges without their labels, by the state they leave.
std::vector<std::vector<uint32_t>> successors(const Dfa& dfa) {
  std::vector<std::vector<uint32_t>> to(dfa.num_states());
  for (size_t i = 0; i < dfa.next.size(); ++i)
    if (dfa.next[i] != Dfa::kDead &&
        (to[i / dfa.num_classes].empty() || to[i / dfa.num_classes].back() != dfa.next[i]))
      to[i / dfa.num_classes].push_back(dfa.next[i]);
  for (const Dfa::Call& call : dfa.calls) to[call.from].push_back(call.to);
  return to;
}

std::vector<std::vector<uint32_t>> reversed(const std::vector<std::vector<uint32_t>>& edges) {
  std::vector<std::vector<uint32_t>> result(edges.size());
  for (uint32_t from = 0; from < edges.size(); ++from)
    for (const uint32_t to : edges[from]) result[to].push_back(from);
  return result;
}

Dfa keep_useful_states(const Dfa& dfa) {
  if (dfa.num_states() == 0) return {};
  const auto forward = successors(dfa);
  const auto backward = reversed(forward);
  const auto along = [](const std::vector<std::vector<uint32_t>>& edges) {
    return [&edges](uint32_t state, const auto& visit) {
      for (const uint32_t to : edges[state]) visit(to);
    };
  };
  std::vector<uint32_t> finals;
  for (uint32_t state = 0; state < dfa.num_states(); ++state)
    if (dfa.is_final[state] != 0) finals.push_back(state);
  const auto ends = reach(dfa.num_states(), finals, along(backward));
  if (ends[dfa.start] == 0) return {};
  const auto begins = reach(dfa.num_states(), {dfa.start}, along(forward));

  std::vector<uint32_t> new_id(dfa.num_states(), Dfa::kDead);
  Dfa result;
  result.class_of = dfa.class_of;
  result.num_classes = dfa.num_classes;
  for (uint32_t state = 0; state < dfa.num_states(); ++state) {
    if (ends[state] == 0 || begins[state] == 0) continue;
    new_id[state] = result.num_states();
    result.is_final.push_back(dfa.is_final[state]);
  }
  result.start = new_id[dfa.start];
  result.next.reserve(size_t{result.num_states()} * dfa.num_classes);
  for (size_t i = 0; i < dfa.next.size(); ++i)
    if (new_id[i / dfa.num_classes] != Dfa::kDead)
      result.next.push_back(dfa.next[i] == Dfa::kDead ? Dfa::kDead : new_id[dfa.next[i]]);
  for (const Dfa::Call& call : dfa.calls)
    if (new_id[call.from] != Dfa::kDead && new_id[call.to] != Dfa::kDead)
      result.calls.push_back({new_id[call.from], call.rule, new_id[call.to]});
  return result;
}

/// Joins byte classes whose columns are equal.
void merge_classes(Dfa& dfa) {
  std::map<std::vector<uint32_t>, uint8_t> classes;
  std::vector<uint8_t> new_class(dfa.num_classes, 0);
  std::vector<uint32_t> kept;
  for (uint32_t k = 0; k < dfa.num_classes; ++k) {
    std::vector<uint32_t> column(dfa.num_states());
    for (size_t state = 0; state < column.size(); ++state)
      column[state] = dfa.next[state * dfa.num_classes + k];
    const auto [found, is_new] =
        classes.try_emplace(std::move(column), static_cast<uint8_t>(classes.size()));
    if (is_new) kept.push_back(k);
    new_class[k] = found->second;
  }
  for (uint8_t& k : dfa.class_of) k = new_class[k];
  std::vector<uint32_t> next;
  next.reserve(size_t{dfa.num_states()} * kept.size());
  for (size_t state = 0; state < dfa.num_states(); ++state)
    for (const uint32_t k : kept) next.push_back(dfa.next[state * dfa.num_classes + k]);
  dfa.next = std::move(next);
  dfa.num_classes = static_cast<uint32_t>(kept.size());
}

bool has_edges(const Dfa& dfa, uint32_t state) {
  const auto row = dfa.next.begin() + static_cast<int64_t>(size_t{state} * dfa.num_classes);
  if (std::any_of(row, row + dfa.num_classes, [](uint32_t to) { return to != Dfa::kDead; }))
    return true;
  const auto call =
      std::lower_bound(dfa.calls.begin(), dfa.calls.end(), state,
                       [](const Dfa::Call& earlier, uint32_t from) { return earlier.from < from; });
  return call != dfa.calls.end() && call->from == state;
}

/// For a state that may also be none.
uint32_t step(const Dfa& dfa, uint32_t state, uint8_t byte) {
  return state == Dfa::kDead ? Dfa::kDead : dfa.step(state, byte);
}

/// The automaton whose states are all places reached from `start` by `next`, over bytes that one of
/// the two automata tells apart.
template <typename Place, typename IsFinal, typename Next>
Dfa explore(const Dfa& a, const Dfa& b, const Place& start, const IsFinal& is_final,
            const Next& next, Budget& budget) {
  Dfa result;
  std::map<std::pair<uint8_t, uint8_t>, uint8_t> classes;
  std::vector<uint8_t> byte_of_class;
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto [found, is_new] = classes.try_emplace({a.class_of[byte], b.class_of[byte]},
                                                     static_cast<uint8_t>(classes.size()));
    if (is_new) byte_of_class.push_back(static_cast<uint8_t>(byte));
    result.class_of[byte] = found->second;
  }
  result.num_classes = static_cast<uint32_t>(byte_of_class.size());
  std::map<Place, uint32_t> ids = {{start, 0}};
  std::vector<Place> places = {start};
  for (size_t i = 0; i < places.size(); ++i) {
    budget.tick();
    budget.check_states_at_once(static_cast<int64_t>(places.size()));
    budget.check_memory_at_once(places.size() * (96 + result.num_classes * sizeof(uint32_t)));
    const Place at = places[i];
    result.is_final.push_back(is_final(at) ? 1 : 0);
    for (const uint8_t byte : byte_of_class) {
      const std::optional<Place> to = next(at, byte);
      if (!to) {
        result.next.push_back(Dfa::kDead);
        continue;
      }
      const auto [found, is_new] = ids.try_emplace(*to, static_cast<uint32_t>(places.size()));
      if (is_new) places.push_back(*to);
      result.next.push_back(found->second);
    }
  }
  return compact(result);
}

}  // namespace

bool Dfa::accepts(std::string_view text) const {
  if (num_states() == 0) return false;
  uint32_t state = start;
  for (const char c : text) {
    state = step(state, static_cast<uint8_t>(c));
    if (state == kDead) return false;
  }
  return is_final[state] != 0;
}

Dfa compact(const Dfa& dfa) {
  Dfa result = keep_useful_states(dfa);
  if (result.num_states() > 0) merge_classes(result);
  return result;
}

bool is_prefix_free(const Dfa& dfa) {
  for (uint32_t state = 0; state < dfa.num_states(); ++state)
    if (dfa.is_final[state] != 0 && has_edges(dfa, state)) return false;
  return true;
}

Dfa loop(const Dfa& part) {
  VELOZ_CHECK(part.num_states() > 0 && part.is_final[part.start] == 0, "a part must have text");
  Dfa result = part;
  const uint32_t start = part.num_states();  // a copy, so that the old one may be inside a part
  const auto row = part.next.begin() + static_cast<int64_t>(size_t{part.start} * part.num_classes);
  result.next.insert(result.next.end(), row, row + part.num_classes);
  result.is_final.push_back(1);
  for (const Dfa::Call& call : part.calls)
    if (call.from == part.start) result.calls.push_back({start, call.rule, call.to});
  const auto to_start = [&](uint32_t& to) {
    if (to != Dfa::kDead && to != start && part.is_final[to] != 0) to = start;
  };
  for (uint32_t& to : result.next) to_start(to);
  for (Dfa::Call& call : result.calls) to_start(call.to);
  for (uint32_t state = 0; state < start; ++state) result.is_final[state] = 0;
  result.start = start;
  return compact(result);
}

Dfa combine(const Dfa& a, const Dfa& b, Combination combination, Budget& budget) {
  if (a.num_states() == 0) return {};
  if (b.num_states() == 0) return combination == Combination::both ? Dfa{} : a;
  using Pair = std::pair<uint32_t, uint32_t>;
  const bool wants_b = combination == Combination::both;
  const auto is_final = [&](const Pair& at) {
    const bool is_final_b = at.second != Dfa::kDead && b.is_final[at.second] != 0;
    return a.is_final[at.first] != 0 && is_final_b == wants_b;
  };
  const auto next = [&](const Pair& at, uint8_t byte) -> std::optional<Pair> {
    const Pair to = {step(a, at.first, byte), step(b, at.second, byte)};
    if (to.first == Dfa::kDead || (wants_b && to.second == Dfa::kDead)) return std::nullopt;
    return to;
  };
  return explore(a, b, Pair{a.start, b.start}, is_final, next, budget);
}

Dfa with_count(const Dfa& dfa, const Dfa& part, uint32_t min, uint32_t max, Budget& budget) {
  if (dfa.num_states() == 0 || part.num_states() == 0) return {};
  using Place = std::tuple<uint32_t, uint32_t, uint32_t>;  // in each of them, and the count
  // Without an upper bound only the lower one matters.
  const uint32_t highest = max == kUnbounded ? min : max;
  const auto is_final = [&](const Place& at) {
    const auto& [whole, within, count] = at;
    return dfa.is_final[whole] != 0 && within == part.start && count >= min;
  };
  const auto next = [&](const Place& at, uint8_t byte) -> std::optional<Place> {
    auto [whole, within, count] = at;
    if (within == part.start) {
      if (max != kUnbounded && count == max) return std::nullopt;
      count = std::min(count + 1, highest);
    }
    whole = dfa.step(whole, byte);
    within = part.step(within, byte);
    if (whole == Dfa::kDead || within == Dfa::kDead) return std::nullopt;
    if (part.is_final[within] != 0) within = part.start;
    return Place{whole, within, count};
  };
  return explore(dfa, part, Place{dfa.start, part.start, 0}, is_final, next, budget);
}

}  // namespace veloz::grammar
