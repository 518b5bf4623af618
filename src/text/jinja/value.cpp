// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/jinja/operators.h"

namespace veloz::text::jinja {
namespace {

constexpr int kMaxValueDepth = 200;        // dict and list printing, comparing and freeing recurse
constexpr size_t kIndexFromPairs = 8;      // below, a linear search is as fast
constexpr size_t kNodeOverheadBytes = 64;  // control block, header, allocator

int nested_depth(int deepest_child) {
  if (deepest_child + 1 > kMaxValueDepth)
    throw Error(ErrorKind::invalid_input,
                fmt::format("a value nests deeper than {} levels", kMaxValueDepth),
                "flatten the message or the tool schema");
  return deepest_child + 1;
}

}  // namespace

struct StringData {
  StringData(std::string value, Meter* meter)
      : charge(meter, value.size() + kNodeOverheadBytes), text(std::move(value)) {}
  Charge charge;
  std::string text;
};

struct SequenceData {
  SequenceData(SequenceKind kind_, Value::Items items_, Meter* meter)
      : charge(meter, items_.size() * sizeof(Value) + kNodeOverheadBytes),
        kind(kind_),
        items(std::move(items_)) {
    int deepest = 0;
    for (const Value& item : items) deepest = std::max(deepest, item.depth());
    depth = nested_depth(deepest);
  }
  Charge charge;
  SequenceKind kind;
  Value::Items items;
  int depth = 1;
};

struct DictData {
  DictData(Value::Pairs pairs_, Meter* meter)
      : charge(meter, pairs_.size() * (2 * sizeof(Value) + sizeof(uint32_t)) + kNodeOverheadBytes),
        pairs(std::move(pairs_)) {
    int deepest = 0;
    for (const auto& [key, value] : pairs)
      deepest = std::max({deepest, key.depth(), value.depth()});
    depth = nested_depth(deepest);
    build_index();
  }

  // Strings first, in byte order, so that a lookup among many keys is a binary search.
  void build_index() {
    if (pairs.size() < kIndexFromPairs) return;
    for (uint32_t i = 0; i < pairs.size(); ++i)
      if (pairs[i].first.is_string()) by_name.push_back(i);
    std::sort(by_name.begin(), by_name.end(), [&](uint32_t a, uint32_t b) {
      return std::pair(pairs[a].first.as_string(), a) < std::pair(pairs[b].first.as_string(), b);
    });
  }

  const Value* find(std::string_view key) const {
    if (pairs.size() < kIndexFromPairs) {
      for (const auto& [name, value] : pairs)
        if (name.is_string() && name.as_string() == key) return &value;
      return nullptr;
    }
    const auto at = std::lower_bound(
        by_name.begin(), by_name.end(), key,
        [&](uint32_t i, std::string_view name) { return pairs[i].first.as_string() < name; });
    if (at == by_name.end() || pairs[*at].first.as_string() != key) return nullptr;
    return &pairs[*at].second;
  }

  Charge charge;
  Value::Pairs pairs;
  std::vector<uint32_t> by_name;
  int depth = 1;
};

namespace {

// Drops repeated keys: the first keeps its place, the last gives the value.
Value::Pairs unique_keys(Value::Pairs pairs, Meter* meter) {
  std::vector<size_t> order;  // of the string keys, by name, then place
  std::vector<bool> dropped(pairs.size(), false);
  const auto name = [&](size_t i) { return pairs[i].first.as_string(); };
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i].first.is_string()) {
      order.push_back(i);
      continue;
    }
    for (size_t j = 0; j < i; ++j) {
      if (dropped[j] || pairs[j].first.is_string()) continue;
      if (!equal(pairs[j].first, pairs[i].first, meter)) continue;
      pairs[j].second = std::move(pairs[i].second);
      dropped[i] = true;
      break;
    }
  }
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return std::pair(name(a), a) < std::pair(name(b), b); });
  for (size_t first = 0, next = 1; next < order.size(); ++next) {
    if (name(order[first]) != name(order[next])) {
      first = next;
      continue;
    }
    pairs[order[first]].second = std::move(pairs[order[next]].second);
    dropped[order[next]] = true;
  }
  Value::Pairs unique;
  unique.reserve(pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i)
    if (!dropped[i]) unique.push_back(std::move(pairs[i]));
  return unique;
}

}  // namespace

Value Value::undefined(std::string why) {
  return Value(Data(std::make_shared<const std::string>(std::move(why))));
}
Value Value::boolean(bool value) { return Value(Data(value)); }
Value Value::integer(int64_t value) { return Value(Data(value)); }
Value Value::real(double value) { return Value(Data(value)); }
Value Value::string(std::string text, Meter* meter) {
  return Value(Data(std::make_shared<const StringData>(std::move(text), meter)));
}
Value Value::list(Items items, Meter* meter) {
  return sequence(SequenceKind::list, std::move(items), meter);
}
Value Value::sequence(SequenceKind kind, Items items, Meter* meter) {
  return Value(Data(std::make_shared<SequenceData>(kind, std::move(items), meter)));
}
Value Value::dict(Pairs pairs, Meter* meter) {
  return Value(Data(std::make_shared<const DictData>(unique_keys(std::move(pairs), meter), meter)));
}
Value Value::object(std::shared_ptr<Object> object) { return Value(Data(std::move(object))); }

bool Value::is_number() const { return is_integral() || kind() == Kind::real; }
bool Value::is_integral() const { return kind() == Kind::boolean || kind() == Kind::integer; }
bool Value::as_boolean() const { return std::get<bool>(data_); }
int64_t Value::as_integer() const {
  return kind() == Kind::boolean ? int64_t{as_boolean()} : std::get<int64_t>(data_);
}
double Value::as_real() const {
  return kind() == Kind::real ? std::get<double>(data_) : static_cast<double>(as_integer());
}
std::string_view Value::as_string() const { return std::get<StringRef>(data_)->text; }
SequenceKind Value::sequence_kind() const { return std::get<SequenceRef>(data_)->kind; }
const Value::Items& Value::items() const { return std::get<SequenceRef>(data_)->items; }
const Value::Pairs& Value::pairs() const { return std::get<DictRef>(data_)->pairs; }
Object& Value::as_object() const { return *std::get<std::shared_ptr<Object>>(data_); }
const std::string& Value::undefined_message() const { return *std::get<UndefinedRef>(data_); }

const Value* Value::find(std::string_view key) const { return std::get<DictRef>(data_)->find(key); }

const Value* Value::find(const Value& key, Meter* meter) const {
  if (key.is_string()) return find(key.as_string());
  for (const auto& [other, value] : pairs())
    if (!other.is_string() && equal(other, key, meter)) return &value;
  return nullptr;
}

void Value::exhaust() const {
  SequenceData& data = *std::get<SequenceRef>(data_);
  if (data.kind == SequenceKind::generator) data.items.clear();
}

int Value::depth() const {
  if (is_sequence()) return std::get<SequenceRef>(data_)->depth;
  if (is_dict()) return std::get<DictRef>(data_)->depth;
  return is_object() ? as_object().depth() : 0;
}

bool Value::is_same(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::none:
      return true;
    case Kind::boolean:
      return as_boolean() == other.as_boolean();
    case Kind::sequence:
      return std::get<SequenceRef>(data_) == std::get<SequenceRef>(other.data_);
    case Kind::dict:
      return std::get<DictRef>(data_) == std::get<DictRef>(other.data_);
    case Kind::object:
      return &as_object() == &other.as_object();
    case Kind::undefined:
    case Kind::integer:
    case Kind::real:
    case Kind::string:
      return equal(*this, other, nullptr);
  }
  return false;
}

std::optional<Value> Object::attribute(Interpreter&, std::string_view) { return std::nullopt; }

// NOLINTNEXTLINE(performance-unnecessary-value-param): those who override it take it over
Value Object::call(Interpreter&, Arguments) {
  throw Error(ErrorKind::invalid_input, fmt::format("'{}' object is not callable", type_name()));
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): likewise
bool Object::set_attribute(Interpreter&, const std::string&, Value) { return false; }

}  // namespace veloz::text::jinja
