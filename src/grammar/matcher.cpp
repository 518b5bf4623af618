// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "grammar/grammar.h"
#include "grammar/machine.h"
#include "grammar/mask_bits.h"
#include "grammar/mask_cache.h"
#include "grammar/program.h"
#include "grammar/tree_walk.h"
#include "grammar/vocabulary.h"

namespace veloz::grammar {
namespace {

// A unit takes a few nanoseconds.
constexpr int64_t kWorkPerToken = int64_t{1} << 20;
constexpr int64_t kWorkPerFill = int64_t{1} << 25;
// To look at as many nodes takes about 100 microseconds.
constexpr size_t kManyNodes = 4096;
constexpr size_t kMaxChain = 8;

}  // namespace

struct Matcher::State {
  GrammarPtr grammar;
  std::shared_ptr<const Vocabulary> vocabulary;
  MaskCache::RuleIds rule_ids;
  Machine machine;
  std::vector<Machine::Frame> history;  // before any token, then after each
  bool is_ended = false;                // the last accepted token was an end token

  // The last mask, good as long as the items are these.
  std::vector<Item> mask_items;
  std::vector<uint32_t> mask;
  std::vector<Machine::Frame> scratch;

  State(GrammarPtr grammar_in, std::shared_ptr<const Vocabulary> vocabulary_in)
      : grammar(std::move(grammar_in)),
        vocabulary(std::move(vocabulary_in)),
        rule_ids(vocabulary->masks().rule_ids(grammar)),
        machine(grammar->program()) {
    history.push_back(machine.start(grammar->program().rule(0).start));
  }

  const Program& program() const { return grammar->program(); }
  MaskCache::MaskPtr mask_of(std::span<const Item> chain);
  void add_item(const Item& item, std::span<uint32_t> allowed);
  void add_beyond(uint32_t node, const Machine::Frame& outside, std::span<uint32_t> allowed);
  void compute_mask();
};

/// How far a count is from its bounds matters as far as one token reaches. The mask of a leaf alone
/// serves all counts.
MaskCache::MaskPtr Matcher::State::mask_of(std::span<const Item> chain) {
  const auto reach = static_cast<uint32_t>(vocabulary->max_token_bytes() + 1);
  MaskCache::Key key;
  for (const Item& item : chain) {
    const Program::Rule& rule = program().rule_of(item.state);
    MaskCache::Place place = {.rule = (*rule_ids)[program().state(item.state).rule],
                              .state = item.state - rule.first_state};
    if (rule.is_counted && !(rule.is_leaf && chain.size() == 1)) {
      place.to_min = std::min(reach, rule.min - std::min(rule.min, item.count));
      place.to_max = rule.max == kUnbounded ? reach : std::min(reach, rule.max - item.count);
    }
    key.append(reinterpret_cast<const char*>(&place), sizeof(place));
  }
  MaskCache& cache = vocabulary->masks();
  if (MaskCache::MaskPtr known = cache.find(key)) return known;
  auto computed = std::make_shared<const StateMask>(program(), *vocabulary, chain);
  cache.insert(key, computed);
  return computed;
}

/// The tokens that may come at one item. What lies beyond the end of its rule is looked at each
/// time where that is little; else the mask is one of the rule within its caller.
void Matcher::State::add_item(const Item& item, std::span<uint32_t> allowed) {
  const Program::Rule& rule = program().rule_of(item.state);
  const bool is_counted_leaf = rule.is_counted && rule.is_leaf;
  const uint32_t left =
      is_counted_leaf && rule.max != kUnbounded ? rule.max - item.count : kUnbounded;
  std::vector<Item> chain = {item};
  while (true) {
    const MaskCache::MaskPtr known = mask_of(chain);
    const bool has_counts = is_counted_leaf && chain.size() == 1;
    known->add_to(allowed, has_counts ? left : kUnbounded);
    const Item outermost = chain.back();
    if (outermost.call == Machine::kOutside || known->exits().empty()) return;
    const Item* caller = machine.only_return(outermost);
    if (known->num_nodes_beyond() > kManyNodes && caller != nullptr && chain.size() < kMaxChain) {
      chain.push_back(*caller);
      continue;
    }
    const Machine::Frame outside = machine.leave(outermost);
    for (const StateMask::Exit& exit : known->exits())
      if (!has_counts || (exit.count <= left && item.count + exit.count >= rule.min))
        add_beyond(exit.node, outside, allowed);
    return;
  }
}

void Matcher::State::add_beyond(uint32_t node, const Machine::Frame& outside,
                                std::span<uint32_t> allowed) {
  walk_tree(machine, *vocabulary, node, outside, scratch,
            [&](uint32_t reached, const Machine::Frame&) {
              for (const int32_t token : vocabulary->tokens_at(reached)) set_bit(allowed, token);
            });
}

void Matcher::State::compute_mask() {
  const Machine::Frame now = history.back();
  machine.cut_back_to(now);
  machine.limit_work(kWorkPerFill);
  const auto items = machine.items(now);
  if (!mask.empty() && std::equal(items.begin(), items.end(), mask_items.begin(), mask_items.end()))
    return;
  mask_items.assign(items.begin(), items.end());
  mask.clear();
  std::vector<uint32_t> allowed(vocabulary->num_mask_words(), 0);
  for (const Item& item : mask_items) {
    add_item(item, allowed);
    machine.cut_back_to(now);
  }
  mask = std::move(allowed);
}

Matcher::Matcher(GrammarPtr grammar, std::shared_ptr<const Vocabulary> vocabulary)
    : state_(std::make_unique<State>(std::move(grammar), std::move(vocabulary))) {}
Matcher::~Matcher() = default;
Matcher::Matcher(Matcher&&) noexcept = default;
Matcher& Matcher::operator=(Matcher&&) noexcept = default;

void Matcher::fill(std::span<uint32_t> allowed) {
  VELOZ_CHECK(allowed.size() >= state_->vocabulary->num_mask_words(),
              "a mask of {} words for {} tokens", allowed.size(), state_->vocabulary->vocab_size());
  std::fill(allowed.begin(), allowed.end(), 0);
  if (state_->is_ended) return;
  state_->compute_mask();
  std::copy(state_->mask.begin(), state_->mask.end(), allowed.begin());
  if (!state_->history.back().is_complete) return;
  for (const int32_t token : state_->vocabulary->end_token_ids())
    if (token >= 0 && token < state_->vocabulary->vocab_size()) set_bit(allowed, token);
}

bool Matcher::accept(int32_t token) {
  State& state = *state_;
  if (state.is_ended || token < 0 || token >= state.vocabulary->vocab_size()) return false;
  const Machine::Frame now = state.history.back();
  if (state.vocabulary->is_end_token(token)) {
    if (!now.is_complete) return false;
    state.history.push_back(now);
    state.is_ended = true;
    return true;
  }
  const std::string_view bytes = state.vocabulary->bytes_of(token);
  if (bytes.empty()) return false;
  state.machine.cut_back_to(now);
  state.machine.limit_work(kWorkPerToken);
  Machine::Frame frame = now;
  for (const char byte : bytes) {
    frame = state.machine.step(frame, static_cast<uint8_t>(byte));
    if (!frame.is_dead()) continue;
    state.machine.cut_back_to(now);
    return false;
  }
  state.history.push_back(state.machine.drop_between(now, frame));
  return true;
}

void Matcher::rollback(int64_t count) {
  State& state = *state_;
  VELOZ_CHECK(count >= 0 && count < static_cast<int64_t>(state.history.size()),
              "cannot forget {} of {} tokens", count, state.history.size() - 1);
  if (count == 0) return;
  state.history.resize(state.history.size() - static_cast<size_t>(count));
  state.is_ended = false;
  state.machine.cut_back_to(state.history.back());
  state.mask.clear();  // calls are numbered anew from here
}

bool Matcher::is_finished() const {
  const Machine::Frame& now = state_->history.back();
  return state_->is_ended || (now.is_complete && now.begin == now.end);
}

}  // namespace veloz::grammar
