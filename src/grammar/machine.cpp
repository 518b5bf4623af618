// SPDX-License-Identifier: Apache-2.0
#include "grammar/machine.h"

#include <algorithm>

#include "base/error.h"

namespace veloz::grammar {
namespace {

/// Places the text can be at once; far beyond what grammars that people write need.
constexpr size_t kMaxItems = 512;
/// Of each stack, for one text: 48 MiB in all.
constexpr size_t kMaxStack = size_t{1} << 20;
constexpr int64_t kWorkPerStep = int64_t{1} << 20;

[[noreturn]] void refuse_ambiguity() {
  throw Error(ErrorKind::invalid_input, "the grammar can read this text in too many ways at once",
              "make it less ambiguous: one way to read each text");
}

/// One more time round. Without an upper bound only the lower one matters.
uint32_t counted_up(const Program::Rule& rule, uint32_t count) {
  return rule.max == kUnbounded ? std::min(count + 1, rule.min) : count + 1;
}

bool may_go_round(const Program::Rule& rule, uint32_t count) {
  return rule.max == kUnbounded || count < rule.max;
}

}  // namespace

Machine::Machine(const Program& program)
    : program_(&program),
      calls_(1),
      returns_(1),
      last_call_(program.num_rules(), 0),
      work_left_(kWorkPerStep) {}

Machine::Frame Machine::start_within(std::span<const Item> chain) {
  uint32_t call = kOutside;
  for (size_t i = chain.size() - 1; i > 0; --i) {
    calls_.push_back({.rule = program_->state(chain[i - 1].state).rule});
    returns_.push_back({.to = {chain[i].state, call, chain[i].count}});
    calls_.back().first_return = static_cast<uint32_t>(returns_.size() - 1);
    call = static_cast<uint32_t>(calls_.size() - 1);
  }
  const auto begin = static_cast<uint32_t>(items_.size());
  items_.push_back({chain[0].state, call, chain[0].count});
  return {.begin = begin,
          .end = begin + 1,
          .num_calls = static_cast<uint32_t>(calls_.size()),
          .num_returns = static_cast<uint32_t>(returns_.size())};
}

Machine::Frame Machine::start(uint32_t state) {
  const auto begin = static_cast<uint32_t>(items_.size());
  step_items_ = begin;
  step_calls_ = static_cast<uint32_t>(calls_.size());
  add({.state = state, .call = kOutside});
  return close(begin);
}

Machine::Frame Machine::step(const Frame& from, uint8_t byte) {
  const auto begin = static_cast<uint32_t>(items_.size());
  step_items_ = begin;
  step_calls_ = static_cast<uint32_t>(calls_.size());
  if (from.end == from.begin + 1) {
    const Item item = items_[from.begin];
    const Program::State& state = program_->state(item.state);
    const uint32_t to = program_->next(state, byte);
    const bool is_dead = to == Program::kDead;
    if (is_dead || (program_->state(to).is_plain && !state.is_counting)) {
      work(1);
      if (!is_dead) items_.push_back({to, item.call, item.count});
      return {.begin = begin,
              .end = begin + (is_dead ? 0 : 1),
              .num_calls = from.num_calls,
              .num_returns = from.num_returns};
    }
  }
  for (uint32_t i = from.begin; i < from.end; ++i) {
    const Item item = items_[i];
    const Program::State& state = program_->state(item.state);
    const uint32_t to = program_->next(state, byte);
    if (to == Program::kDead) continue;
    const Program::Rule& rule = program_->rule(state.rule);
    add({to, item.call, state.is_counting ? counted_up(rule, item.count) : item.count});
  }
  return close(begin);
}

Machine::Frame Machine::leave(const Item& item) {
  const auto begin = static_cast<uint32_t>(items_.size());
  step_items_ = begin;
  step_calls_ = static_cast<uint32_t>(calls_.size());
  for (uint32_t i = calls_[item.call].first_return; i != 0; i = returns_[i].next)
    add(returns_[i].to);
  return close(begin);
}

Machine::Frame Machine::drop_between(const Frame& earlier, Frame last) {
  const auto end = std::copy(items_.begin() + last.begin, items_.begin() + last.end,
                             items_.begin() + earlier.end);
  items_.erase(end, items_.end());
  last.begin = earlier.end;
  last.end = static_cast<uint32_t>(items_.size());
  return last;
}

const Item* Machine::only_return(const Item& item) const {
  const uint32_t first = calls_[item.call].first_return;
  return first != 0 && returns_[first].next == 0 ? &returns_[first].to : nullptr;
}

void Machine::cut_back_to(const Frame& frame) {
  items_.resize(frame.end);
  calls_.resize(frame.num_calls);
  returns_.resize(frame.num_returns);
}

/// Adds all places that can be reached without a byte, and keeps those where one can come.
Machine::Frame Machine::close(uint32_t begin) {
  Frame frame = {.begin = begin};
  for (size_t i = begin; i < items_.size(); ++i) {
    const Item item = items_[i];
    const Program::State& state = program_->state(item.state);
    if (state.is_final) end_call(item, state, frame);
    if (state.calls_begin != state.calls_end) make_calls(item, state);
  }
  const auto has_no_byte = [this](const Item& item) {
    const Program::State& state = program_->state(item.state);
    return !state.has_bytes ||
           (state.is_counting && !may_go_round(program_->rule(state.rule), item.count));
  };
  items_.erase(std::remove_if(items_.begin() + begin, items_.end(), has_no_byte), items_.end());
  frame.end = static_cast<uint32_t>(items_.size());
  frame.num_calls = static_cast<uint32_t>(calls_.size());
  frame.num_returns = static_cast<uint32_t>(returns_.size());
  return frame;
}

void Machine::end_call(const Item& item, const Program::State& state, Frame& frame) {
  if (state.is_counting && item.count < program_->rule(state.rule).min) return;
  if (item.call == kOutside) {
    frame.is_complete = true;
    return;
  }
  // A call that began here and ends here has no text: its caller went on without it already.
  if (item.call >= step_calls_) return;
  for (uint32_t i = calls_[item.call].first_return; i != 0; i = returns_[i].next)
    add(returns_[i].to);
}

void Machine::make_calls(const Item& item, const Program::State& state) {
  uint32_t count = item.count;
  if (state.is_counting) {
    const Program::Rule& rule = program_->rule(state.rule);
    if (!may_go_round(rule, count)) return;
    count = counted_up(rule, count);
  }
  for (const Program::Call& call : program_->calls(state)) {
    const uint32_t record = call_of(call.callee);
    // Where nothing is left to do after the callee, it returns to the caller's caller, so that
    // lists written as a rule that ends with itself take no more memory the longer they are.
    const bool is_last =
        program_->state(call.to).ends_here && item.call != kOutside && item.call < step_calls_;
    if (!is_last) {
      add_return(record, {call.to, item.call, count});
      continue;
    }
    for (uint32_t i = calls_[item.call].first_return; i != 0; i = returns_[i].next) {
      const Item to = returns_[i].to;
      add_return(record, to);
    }
  }
}

/// The record for calls of the rule that begin here.
uint32_t Machine::call_of(uint32_t rule) {
  const uint32_t last = last_call_[rule];
  if (last >= step_calls_ && last < calls_.size() && calls_[last].rule == rule) return last;
  if (calls_.size() >= kMaxStack) refuse_ambiguity();
  const auto record = static_cast<uint32_t>(calls_.size());
  calls_.push_back({.rule = rule});
  last_call_[rule] = record;
  add({.state = program_->rule(rule).start, .call = record});
  return record;
}

void Machine::add(const Item& item) {
  const size_t count = items_.size() - step_items_;
  work(1 + count / 8);
  if (std::find(items_.begin() + step_items_, items_.end(), item) != items_.end()) return;
  if (count >= kMaxItems || items_.size() >= kMaxStack) refuse_ambiguity();
  items_.push_back(item);
}

void Machine::add_return(uint32_t call, const Item& to) {
  work(1);
  for (uint32_t i = calls_[call].first_return; i != 0; i = returns_[i].next) {
    work(1);
    if (returns_[i].to == to) return;
  }
  if (returns_.size() >= kMaxStack) refuse_ambiguity();
  returns_.push_back({.to = to, .next = calls_[call].first_return});
  calls_[call].first_return = static_cast<uint32_t>(returns_.size() - 1);
}

void Machine::work(size_t units) {
  work_left_ -= static_cast<int64_t>(units);
  if (work_left_ < 0) refuse_ambiguity();
}

}  // namespace veloz::grammar
