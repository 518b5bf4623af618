// SPDX-License-Identifier: Apache-2.0
#include "engine/json_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"

namespace veloz::engine {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxQuotedBytes = 80;

std::string dump(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kMaxQuotedBytes) {
    text.resize(kMaxQuotedBytes);
    text += "...";
  }
  return text;
}

/// Depth is checked on the text, so that the parser never sees a document nested deeper.
void check_depth(std::string_view text, std::string_view file) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == ']' || c == '}') depth -= depth > 0 ? 1 : 0;
    if ((c == '[' || c == '{') && ++depth > JsonDocument::kMaxDepth)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("{} is nested deeper than {} levels at byte {}", file,
                              JsonDocument::kMaxDepth, i),
                  kRebuildHint);
  }
}

/// The parser keeps the last of several equal keys; here they are an error.
class DuplicateKeys {
 public:
  bool operator()(int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open_.emplace_back();
    if (event == Json::parse_event_t::object_end) open_.pop_back();
    if (event == Json::parse_event_t::key) {
      const std::string& key = parsed.get_ref<const std::string&>();
      if (!open_.back().insert(key).second && duplicate.empty()) duplicate = quote_text(key);
    }
    return true;
  }
  std::string duplicate;

 private:
  std::vector<std::set<std::string>> open_;
};

}  // namespace

std::string quote_text(std::string_view text) { return dump(Json(std::string(text))); }

JsonDocument::JsonDocument(std::string_view text, std::string_view file, size_t max_bytes)
    : file_(file) {
  if (text.size() > max_bytes)
    throw Error(ErrorKind::corrupt_data,
                fmt::format("{} has {} bytes, at most {} are read", file, text.size(), max_bytes),
                kRebuildHint);
  check_depth(text, file);
  DuplicateKeys keys;
  try {
    value_ = std::make_unique<Json>(Json::parse(text, std::ref(keys)));
  } catch (const Json::exception& e) {
    // nlohmann: "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    std::string_view reason = e.what();
    if (const size_t end = reason.find("] "); end != std::string_view::npos)
      reason.remove_prefix(end + 2);
    throw Error(ErrorKind::corrupt_data, fmt::format("{} is no valid JSON: {}", file, reason),
                kRebuildHint);
  }
  if (!keys.duplicate.empty())
    throw Error(ErrorKind::corrupt_data,
                fmt::format("{} has the key {} twice in one object", file, keys.duplicate),
                kRebuildHint);
}
JsonDocument::~JsonDocument() = default;

JsonNode JsonDocument::root() const { return JsonNode(*value_, "", file_); }

void JsonNode::fail(std::string_view why) const {
  const std::string where = path_.empty() ? "the document" : fmt::format("\"{}\"", path_);
  throw Error(ErrorKind::corrupt_data,
              fmt::format("{}: {} is {}, {}", file_, where, dump(*value_), why), kRebuildHint);
}

bool JsonNode::is_null() const { return value_->is_null(); }
bool JsonNode::is_integer() const { return value_->is_number_integer(); }
bool JsonNode::is_float() const { return value_->is_number_float(); }
bool JsonNode::is_text() const { return value_->is_string(); }
bool JsonNode::is_object() const { return value_->is_object(); }

bool JsonNode::has(std::string_view key) const {
  return value_->is_object() && value_->contains(std::string(key));
}

void JsonNode::expect_keys(std::initializer_list<std::string_view> keys) const {
  if (!value_->is_object()) fail("not an object");
  for (const auto& [key, unused] : value_->items())
    if (std::ranges::find(keys, key) == keys.end())
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("{}: unknown key {} in {}, known are {}", file_, quote_text(key),
                              path_.empty() ? "the document" : fmt::format("\"{}\"", path_),
                              fmt::join(keys, ", ")),
                  kRebuildHint);
}

JsonNode JsonNode::at(std::string_view key) const {
  if (!value_->is_object()) fail("not an object");
  const auto found = value_->find(std::string(key));
  std::string path = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  if (found == value_->end())
    throw Error(ErrorKind::corrupt_data, fmt::format("{}: \"{}\" is missing", file_, path),
                kRebuildHint);
  return JsonNode(*found, std::move(path), file_);
}

std::vector<JsonNode> JsonNode::items(size_t max_items) const {
  if (!value_->is_array() && !value_->is_object()) fail("not an array");
  if (value_->size() > max_items)
    throw Error(ErrorKind::corrupt_data,
                fmt::format("{}: \"{}\" has {} entries, at most {} are read", file_, path_,
                            value_->size(), max_items),
                kRebuildHint);
  std::vector<JsonNode> nodes;
  nodes.reserve(value_->size());
  if (value_->is_object()) {
    for (const auto& [key, value] : value_->items())
      nodes.emplace_back(value, fmt::format("{}.{}", path_, key), file_);
  } else {
    for (size_t i = 0; i < value_->size(); ++i)
      nodes.emplace_back((*value_)[i], fmt::format("{}[{}]", path_, i), file_);
  }
  return nodes;
}

std::vector<std::string> JsonNode::keys() const {
  if (!value_->is_object()) fail("not an object");
  std::vector<std::string> keys;
  for (const auto& [key, unused] : value_->items()) keys.push_back(key);
  return keys;
}

int64_t JsonNode::integer(int64_t min, int64_t max) const {
  if (!value_->is_number_integer()) fail("not an integer");
  const bool too_large =
      value_->is_number_unsigned() && value_->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = too_large ? INT64_MAX : value_->get<int64_t>();
  if (too_large || number < min || number > max)
    fail(fmt::format("not between {} and {}", min, max));
  return number;
}

std::vector<int64_t> JsonNode::integers(int64_t min, int64_t max, size_t max_items) const {
  if (!value_->is_array()) fail("not an array");
  std::vector<int64_t> numbers;
  for (const JsonNode& item : items(max_items)) numbers.push_back(item.integer(min, max));
  return numbers;
}

std::string JsonNode::text(size_t max_bytes) const {
  if (!value_->is_string()) fail("not a string");
  const std::string& text = value_->get_ref<const std::string&>();
  if (text.size() > max_bytes)
    fail(fmt::format("a string of {} bytes, at most {} are read", text.size(), max_bytes));
  return text;
}

double JsonNode::number() const {
  if (!value_->is_number()) fail("not a number");
  const double number = value_->get<double>();
  if (!std::isfinite(number)) fail("not a finite number");
  return number;
}

}  // namespace veloz::engine
