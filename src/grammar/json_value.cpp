// SPDX-License-Identifier: Apache-2.0
#include "grammar/json_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/error.h"
#include "grammar/decimal.h"

namespace veloz::grammar {
namespace {

/// Builds the tree from the parser's events, which come without recursion.
class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit TreeBuilder(Budget& budget) : budget_(budget) {}

  JsonValue take() { return std::move(root_); }

  bool null() override { return add({}); }
  bool boolean(bool value) override {
    return add({.type = JsonValue::Type::boolean, .boolean = value});
  }
  bool number_integer(number_integer_t value) override { return number(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return number(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& spelling) override { return number(spelling); }
  bool string(string_t& value) override {
    return add({.type = JsonValue::Type::string, .text = std::move(value)});
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(JsonValue::Type::object); }
  bool start_array(size_t) override { return open(JsonValue::Type::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!open_.back().keys.insert(name).second)
      throw Error(
          ErrorKind::invalid_input,
          fmt::format("\"{}\": the key stands twice in its object", pointer_to(pointer(), name)));
    open_.back().value->members.emplace_back(std::move(name), JsonValue());
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    throw Error(ErrorKind::invalid_input,
                fmt::format("the schema is no JSON, near byte {}: {}", position, reason(e.what())));
  }

 private:
  struct Open {
    JsonValue* value = nullptr;
    std::unordered_set<std::string> keys{};
  };

  bool number(std::string spelling) {
    return add({.type = JsonValue::Type::number, .text = std::move(spelling)});
  }

  bool add(JsonValue value) {
    place(std::move(value));
    return true;
  }

  /// Where the next value belongs: the root, the last key's, or one more item.
  JsonValue& place(JsonValue value) {
    budget_.tick();
    budget_.add_memory(sizeof(JsonValue) + value.text.size());
    JsonValue* at = &root_;
    if (!open_.empty() && open_.back().value->is(JsonValue::Type::array))
      at = &open_.back().value->items.emplace_back();
    else if (!open_.empty())
      at = &open_.back().value->members.back().second;
    *at = std::move(value);
    return *at;
  }

  bool open(JsonValue::Type type) {
    budget_.check_depth(static_cast<int64_t>(open_.size()) + 1);
    JsonValue& value = place({.type = type});
    open_.push_back({.value = &value});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string pointer() const {
    std::string result;
    for (size_t i = 0; i + 1 < open_.size(); ++i) {
      const JsonValue& value = *open_[i].value;
      result = pointer_to(result, value.is(JsonValue::Type::array)
                                      ? std::to_string(value.items.size() - 1)
                                      : value.members.back().first);
    }
    return result;
  }

  /// Without the library's own prefix.
  static std::string reason(const std::string& what) {
    const size_t at = what.find("] ");
    return at == std::string::npos ? what : what.substr(at + 2);
  }

  Budget& budget_;
  JsonValue root_;
  std::vector<Open> open_;
};

}  // namespace

const JsonValue* JsonValue::find(std::string_view name) const {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const auto& member) { return member.first == name; });
  return found == members.end() ? nullptr : &found->second;
}

JsonValue parse_json(std::string_view text, Budget& budget) {
  budget.check_source(text);
  TreeBuilder builder(budget);
  nlohmann::json::sax_parse(text, &builder);
  return builder.take();
}

bool are_equal(const JsonValue& a, const JsonValue& b) {
  if (a.type != b.type) return false;
  switch (a.type) {
    case JsonValue::Type::null:
      return true;
    case JsonValue::Type::boolean:
      return a.boolean == b.boolean;
    case JsonValue::Type::number:
      return a.text == b.text || Decimal::parse(a.text) == Decimal::parse(b.text);
    case JsonValue::Type::string:
      return a.text == b.text;
    case JsonValue::Type::array:
      return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), are_equal);
    case JsonValue::Type::object:
      return a.members.size() == b.members.size() &&
             std::all_of(a.members.begin(), a.members.end(), [&](const auto& member) {
               const JsonValue* other = b.find(member.first);
               return other != nullptr && are_equal(member.second, *other);
             });
  }
  return false;
}

std::string pointer_to(std::string_view pointer, std::string_view step) {
  std::string result(pointer);
  result += '/';
  for (const char c : step) {
    if (c == '~')
      result += "~0";
    else if (c == '/')
      result += "~1";
    else
      result += c;
  }
  return result;
}

}  // namespace veloz::grammar
