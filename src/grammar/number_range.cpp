// SPDX-License-Identifier: Apache-2.0
#include "grammar/number_range.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "grammar/dfa_shape.h"

namespace veloz::grammar {
namespace {

constexpr size_t kMaxWholeDigits = 20;
constexpr size_t kMaxFractionDigits = 20;
constexpr size_t kMaxStepDigits = 9;  // so that remainders fit 32 bits

enum class Order : uint8_t { less, equal, greater };

Order order_of(char digit, char other) {
  return digit < other ? Order::less : digit > other ? Order::greater : Order::equal;
}

/// What has been read of a spelling, as far as it matters for what may follow.
struct Reading {
  enum class Phase : uint8_t { start, sign, whole, point, fraction };
  Phase phase = Phase::start;
  bool is_negative = false;
  bool is_zero = true;
  size_t num_whole = 0;     // digits
  size_t num_fraction = 0;  // digits
  // The digits read, against as many of each bound's; then, the whole parts against each other.
  Order low = Order::equal;
  Order high = Order::equal;
  std::vector<uint64_t> remainders;  // of the digits read as one number

  auto key() const {
    return std::tie(phase, is_negative, is_zero, num_whole, num_fraction, low, high, remainders);
  }
  bool operator<(const Reading& other) const { return key() < other.key(); }
};

/// Walks all readings of the spellings of one range.
class Speller {
 public:
  Speller(const NumberRange& range, Budget& budget) : range_(range), budget_(budget) {
    if (range.low && !range.low->value.is_negative)
      max_whole_ = std::max(max_whole_, range.low->value.whole.size());
    if (range.high && range.high->value.is_negative)
      max_whole_ = std::max(max_whole_, range.high->value.whole.size());
    if (range.is_integer) max_fraction_ = 0;
    for (const NumberRange::Multiple& multiple : range.multiples)
      max_fraction_ = std::min(max_fraction_, multiple.scale);
  }

  Dfa run() {
    static constexpr char kAlphabet[] = "-.0123456789";
    Dfa dfa;
    dfa.num_classes = sizeof(kAlphabet);  // the last one is all other bytes
    dfa.class_of.fill(sizeof(kAlphabet) - 1);
    for (size_t i = 0; i + 1 < sizeof(kAlphabet); ++i)
      dfa.class_of[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
    Reading start;
    start.remainders.assign(range_.multiples.size(), 0);
    id_of(start);
    for (size_t i = 0; i < readings_.size(); ++i) {
      budget_.tick();
      const Reading at = *readings_[i];
      dfa.is_final.push_back(is_complete(at) ? 1 : 0);
      for (size_t k = 0; k + 1 < sizeof(kAlphabet); ++k) {
        const auto next = after(at, kAlphabet[k]);
        dfa.next.push_back(next ? id_of(*next) : Dfa::kDead);
      }
      dfa.next.push_back(Dfa::kDead);
    }
    return compact(dfa);
  }

 private:
  uint32_t id_of(const Reading& reading) {
    const auto [found, is_new] = ids_.try_emplace(reading, static_cast<uint32_t>(readings_.size()));
    if (is_new) readings_.push_back(&found->first);
    budget_.check_states_at_once(static_cast<int64_t>(readings_.size()));
    return found->second;
  }

  std::optional<Reading> after(Reading at, char c) const {
    using Phase = Reading::Phase;
    if (c == '-') {
      if (at.phase != Phase::start) return std::nullopt;
      at.phase = Phase::sign;
      at.is_negative = true;
      return at;
    }
    if (c == '.') {
      if (at.phase != Phase::whole || max_fraction_ == 0) return std::nullopt;
      at.low = order_of_wholes(at, at.low, range_.low);
      at.high = order_of_wholes(at, at.high, range_.high);
      at.phase = Phase::point;
      at.num_whole = 0;  // matters no more
      return at;
    }
    const bool is_whole = at.phase < Phase::point;
    const bool has_leading_zero = at.phase == Phase::whole && at.is_zero;
    if (is_whole ? has_leading_zero || at.num_whole == max_whole_
                 : at.num_fraction == max_fraction_)
      return std::nullopt;
    at.low = order_with(at, c, at.low, range_.low, is_whole);
    at.high = order_with(at, c, at.high, range_.high, is_whole);
    at.is_zero = at.is_zero && c == '0';
    for (size_t i = 0; i < at.remainders.size(); ++i)
      at.remainders[i] =
          (at.remainders[i] * 10 + static_cast<uint64_t>(c - '0')) % range_.multiples[i].step;
    ++(is_whole ? at.num_whole : at.num_fraction);
    at.phase = is_whole ? Phase::whole : Phase::fraction;
    return at;
  }

  /// One more digit against the bound's digit at that place.
  static Order order_with(const Reading& at, char c, Order before,
                          const std::optional<NumberRange::Bound>& bound, bool is_whole) {
    if (!bound || before != Order::equal) return before;
    const std::string& digits = is_whole ? bound->value.whole : bound->value.fraction;
    const size_t place = is_whole ? at.num_whole : at.num_fraction;
    if (place < digits.size()) return order_of(c, digits[place]);
    return is_whole ? before : order_of(c, '0');
  }

  /// Of the finished whole part against the bound's.
  static Order order_of_wholes(const Reading& at, Order digits,
                               const std::optional<NumberRange::Bound>& bound) {
    if (!bound || at.num_whole == bound->value.whole.size()) return digits;
    return at.num_whole < bound->value.whole.size() ? Order::less : Order::greater;
  }

  /// Of the magnitude that is read against the bound's.
  static Order order_of_magnitudes(const Reading& at, Order digits,
                                   const std::optional<NumberRange::Bound>& bound) {
    if (at.phase == Reading::Phase::whole) digits = order_of_wholes(at, digits, bound);
    if (digits == Order::equal && at.num_fraction < bound->value.fraction.size())
      return Order::less;
    return digits;
  }

  bool is_complete(const Reading& at) const {
    if (at.phase != Reading::Phase::whole && at.phase != Reading::Phase::fraction) return false;
    if (at.is_negative && at.is_zero) return false;
    for (size_t i = 0; i < at.remainders.size(); ++i)
      if (!is_multiple(at.remainders[i], at.num_fraction, range_.multiples[i])) return false;
    return (!range_.low || is_beyond(at, at.low, *range_.low, Order::greater)) &&
           (!range_.high || is_beyond(at, at.high, *range_.high, Order::less));
  }

  static bool is_multiple(uint64_t remainder, size_t num_fraction,
                          const NumberRange::Multiple& multiple) {
    for (size_t i = num_fraction; i < multiple.scale; ++i)
      remainder = remainder * 10 % multiple.step;
    return remainder == 0;
  }

  /// Whether the number is on that side of the bound, or at it where that is allowed.
  static bool is_beyond(const Reading& at, Order digits, const NumberRange::Bound& bound,
                        Order side) {
    if (at.is_negative != bound.value.is_negative) return at.is_negative == (side == Order::less);
    Order order = order_of_magnitudes(at, digits, bound);
    if (order == Order::equal) return !bound.is_exclusive;
    if (at.is_negative) order = order == Order::less ? Order::greater : Order::less;
    return order == side;
  }

  const NumberRange& range_;
  Budget& budget_;
  size_t max_whole_ = kMaxWholeDigits;
  size_t max_fraction_ = kMaxFractionDigits;
  std::map<Reading, uint32_t> ids_;
  std::vector<const Reading*> readings_;  // keys of `ids_`
};

}  // namespace

void NumberRange::raise_low(Bound bound) {
  if (low && (bound.value < low->value || (bound.value == low->value && low->is_exclusive))) return;
  low = std::move(bound);
}

void NumberRange::lower_high(Bound bound) {
  if (high && (bound.value > high->value || (bound.value == high->value && high->is_exclusive)))
    return;
  high = std::move(bound);
}

bool NumberRange::contains(const Decimal& number) const {
  if (is_integer && !number.is_integer()) return false;
  if (low && (number < low->value || (low->is_exclusive && number == low->value))) return false;
  if (high && (number > high->value || (high->is_exclusive && number == high->value))) return false;
  return std::all_of(multiples.begin(), multiples.end(), [&](const Multiple& multiple) {
    return number.fraction.size() <= multiple.scale &&
           number.modulo(multiple.step, multiple.scale) == 0;
  });
}

NumberRange::Multiple multiple_of(const Decimal& step) {
  if (step.is_negative || step.is_zero())
    throw Error(ErrorKind::invalid_input, "a number is a multiple of something above zero only");
  const std::string digits = step.whole == "0" ? step.fraction : step.whole + step.fraction;
  const std::string significant = digits.substr(digits.find_first_not_of('0'));
  if (significant.size() > kMaxStepDigits || step.fraction.size() > kMaxFractionDigits)
    throw Error(ErrorKind::invalid_input,
                fmt::format("a step has at most {} digits, {} of them after the point",
                            kMaxStepDigits, kMaxFractionDigits));
  return {.step = std::stoull(significant), .scale = step.fraction.size()};
}

Dfa spellings_of(const NumberRange& range, Budget& budget) { return Speller(range, budget).run(); }

}  // namespace veloz::grammar
