// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_document.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "base/error.h"
#include "grammar/hex.h"

namespace veloz::grammar {
namespace {

/// A step of a pointer in a URI fragment: %41 and then ~0, ~1.
std::optional<std::string> unescape(std::string_view step) {
  std::string bytes;
  for (size_t i = 0; i < step.size(); ++i) {
    if (step[i] != '%') {
      bytes += step[i];
      continue;
    }
    const auto high = i + 2 < step.size() ? hex_digit(step[i + 1]) : std::nullopt;
    const auto low = i + 2 < step.size() ? hex_digit(step[i + 2]) : std::nullopt;
    if (!high || !low) return std::nullopt;
    bytes += static_cast<char>(*high * 16 + *low);
    i += 2;
  }
  std::string result;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '~') {
      result += bytes[i];
      continue;
    }
    const char c = i + 1 < bytes.size() ? bytes[i + 1] : '\0';
    if (c != '0' && c != '1') return std::nullopt;
    result += c == '0' ? '~' : '/';
    ++i;
  }
  return result;
}

const JsonValue* child(const JsonValue& value, const std::string& step) {
  if (!value.is(JsonValue::Type::array)) return value.find(step);
  size_t index = 0;
  const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), index);
  const bool is_number = error == std::errc() && end == step.data() + step.size();
  return is_number && index < value.items.size() ? &value.items[index] : nullptr;
}

}  // namespace

SchemaDocument::SchemaDocument(std::string_view text, Budget& budget)
    : budget_(budget), root_(parse_json(text, budget)) {}

SchemaId SchemaDocument::id_of(const JsonValue& value, std::string pointer) {
  if (!value.is(JsonValue::Type::object) && !value.is(JsonValue::Type::boolean))
    refuse(pointer, "a schema is an object or a boolean");
  const auto [found, is_new] =
      ids_.try_emplace(&value, SchemaId{static_cast<uint32_t>(schemas_.size())});
  if (!is_new) return found->second;
  budget_.tick();
  budget_.add_memory(sizeof(Schema) + pointer.size() + 64);
  schemas_.push_back({&value, std::move(pointer)});
  return found->second;
}

SchemaId SchemaDocument::resolve(SchemaId from, const JsonValue& reference) {
  const std::string place = pointer(from, "$ref");
  if (!reference.is(JsonValue::Type::string)) refuse(place, "a reference is a string");
  std::string_view rest = reference.text;
  if (rest != "#" && !rest.starts_with("#/"))
    refuse(place, fmt::format("\"{}\" is not inside this schema", reference.text),
           "references are \"#\" or \"#/...\"; put what they name into \"$defs\"");
  const JsonValue* at = &root_;
  std::string pointer;
  rest.remove_prefix(1);
  while (!rest.empty() && at != nullptr) {
    rest.remove_prefix(1);
    const std::string_view step = rest.substr(0, rest.find('/'));
    rest.remove_prefix(step.size());
    const auto name = unescape(step);
    at = name ? child(*at, *name) : nullptr;
    if (at != nullptr) pointer = pointer_to(pointer, *name);
  }
  if (at == nullptr) refuse(place, fmt::format("\"{}\" names nothing", reference.text));
  return id_of(*at, std::move(pointer));
}

std::string SchemaDocument::pointer(SchemaId id, std::string_view keyword) const {
  return pointer_to(pointer(id), keyword);
}

void SchemaDocument::refuse(const std::string& pointer, std::string_view what,
                            std::string hint) const {
  throw Error(ErrorKind::invalid_input, fmt::format("\"{}\": {}", pointer, what), std::move(hint));
}

}  // namespace veloz::grammar
