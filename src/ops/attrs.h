// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace veloz::ops {

using AttrValue = std::variant<int64_t, double, std::string>;

/// Named constants of a node, kept sorted by name; printed as `{act="silu", eps=1e-05,
/// num_heads=32}`.
class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<std::string, AttrValue>> entries);

  void set(std::string name, AttrValue value);
  void erase(std::string_view name);
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  const std::vector<std::pair<std::string, AttrValue>>& entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }

  /// Throw Error(corrupt_data) where the attribute is missing or of another type; a double reads an
  /// int too.
  int64_t get_int(std::string_view name) const;
  double get_float(std::string_view name) const;
  const std::string& get_string(std::string_view name) const;
  int64_t get_int_or(std::string_view name, int64_t fallback) const;

  bool operator==(const Attrs&) const = default;

 private:
  const AttrValue* find(std::string_view name) const;
  std::vector<std::pair<std::string, AttrValue>> entries_;
};

/// `7`, `1e-05` (a double always has '.', 'e', "inf" or "nan"), `"silu"` with C escapes.
std::string to_string(const AttrValue& value);
/// ` {a=1, b="x"}` or nothing.
std::string to_string(const Attrs& attrs);
/// Inverse of to_string(Attrs) for what stands between the braces; throws Error(corrupt_data).
Attrs parse_attrs(std::string_view text);

}  // namespace veloz::ops
