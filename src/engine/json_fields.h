// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace veloz::engine {

/// One value of an untrusted JSON document and where it stands in it. Every accessor checks type
/// and range and throws Error(corrupt_data) that names file, key and value. Lives as long as its
/// document.
class JsonNode {
 public:
  JsonNode(const nlohmann::json& value, std::string path, std::string_view file)
      : value_(&value), path_(std::move(path)), file_(file) {}

  /// Throws the node's error: `plan.json: "steps[3].op" is "lin", ` + why.
  [[noreturn]] void fail(std::string_view why) const;

  bool is_null() const;
  bool has(std::string_view key) const;
  /// An object with no key but these.
  void expect_keys(std::initializer_list<std::string_view> keys) const;
  /// The value of a key, which must be there.
  JsonNode at(std::string_view key) const;
  /// Entries of an array, or of an object in the order of their keys.
  std::vector<JsonNode> items(size_t max_items) const;
  /// Keys of an object, in the order of `items`.
  std::vector<std::string> keys() const;

  int64_t integer(int64_t min, int64_t max) const;
  std::vector<int64_t> integers(int64_t min, int64_t max, size_t max_items) const;
  std::string text(size_t max_bytes) const;
  bool is_integer() const;
  bool is_float() const;
  bool is_text() const;
  bool is_object() const;
  double number() const;

 private:
  const nlohmann::json* value_;
  std::string path_;
  std::string_view file_;
};

/// A parsed document. Size, depth and duplicate keys are checked before or while it is parsed.
class JsonDocument {
 public:
  static constexpr size_t kMaxDepth = 16;

  /// `file` is the name in messages. Throws Error(corrupt_data).
  JsonDocument(std::string_view text, std::string_view file, size_t max_bytes);
  ~JsonDocument();
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  JsonNode root() const;

 private:
  std::string file_;
  std::unique_ptr<nlohmann::json> value_;
};

/// What to do about a damaged engine.
inline constexpr const char* kRebuildHint =
    "the engine is damaged or was edited; copy it again, or rebuild it with `veloz build`";

/// A string from a file for use in a message: in quotes, escaped, cut at 80 bytes.
std::string quote_text(std::string_view text);

}  // namespace veloz::engine
