// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace veloz::http::openai {

/// Reads one call as models write it, `{"name": "...", "arguments": {...}}` (or "parameters"), as
/// its text comes. Arguments pass on byte by byte where the name came first.
class ToolCallScanner {
 public:
  /// Takes bytes up to the end of the object and returns how many; the rest is somebody else's.
  size_t push(std::string_view text);
  bool is_done() const { return is_done_; }
  /// Known once its value has come.
  const std::optional<std::string>& name() const { return name_; }
  /// Arguments that are certain and were not taken yet. Once it is done: all that is left.
  std::string take_arguments();
  /// What was pushed: where it turned out to be no call, that is plain text.
  const std::string& text() const { return text_; }
  /// Once it is done: whether it is a call. One that began to be passed on cannot be taken back, so
  /// a name is enough, broken as the rest may be.
  bool is_call() const { return name_.has_value(); }

 private:
  void take(char c);
  void end_string();
  void start_value(size_t at);
  void end_value(size_t end);
  void finish();

  std::string text_;
  int depth_ = 0;
  bool in_string_ = false, is_escaped_ = false;
  size_t string_start_ = 0;
  std::string key_;             // of the member of the outermost object being read
  bool expects_value_ = false;  // its ':' has come
  size_t value_start_ = 0;      // 0: no value is open
  std::optional<std::string> name_;
  std::string arguments_;  // certain, not yet taken
  bool streams_ = false;   // the open value is arguments and passes on as it comes
  bool has_arguments_ = false;
  std::string late_arguments_;  // whole, where they could not be passed on
  bool is_done_ = false;
};

}  // namespace veloz::http::openai
