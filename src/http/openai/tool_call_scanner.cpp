// SPDX-License-Identifier: Apache-2.0
#include "http/openai/tool_call_scanner.h"

#include <utility>

#include "base/error.h"
#include "http/openai/json_writer.h"
#include "text/jinja/json.h"

namespace veloz::http::openai {
namespace {

std::optional<Json> try_parse(std::string_view text) {
  try {
    return text::jinja::parse_json(text, text::jinja::BigIntegers::as_real);
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool is_arguments(std::string_view key) { return key == "arguments" || key == "parameters"; }
bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

}  // namespace

size_t ToolCallScanner::push(std::string_view text) {
  size_t count = 0;
  while (count < text.size() && !is_done_) take(text[count++]);
  return count;
}

std::string ToolCallScanner::take_arguments() { return std::exchange(arguments_, {}); }

void ToolCallScanner::take(char c) {
  text_ += c;
  if (streams_) arguments_ += c;
  const size_t at = text_.size() - 1;
  if (in_string_) {
    if (is_escaped_)
      is_escaped_ = false;
    else if (c == '\\')
      is_escaped_ = true;
    else if (c == '"')
      end_string();
    return;
  }
  if (is_space(c)) return;
  if (depth_ == 1 && expects_value_ && value_start_ == 0 && c != ':') start_value(at);
  if (c == '"') {
    in_string_ = true;
    string_start_ = at;
  } else if (c == '{' || c == '[') {
    ++depth_;
  } else if (c == '}' || c == ']') {
    if (depth_ == 1 && value_start_ != 0) end_value(at);  // a number or word ends here
    --depth_;
    if (depth_ == 1) end_value(at + 1);
    if (depth_ == 0) finish();
  } else if (c == ':' && depth_ == 1) {
    expects_value_ = true;
  } else if (c == ',' && depth_ == 1 && value_start_ != 0) {
    end_value(at);
  }
}

void ToolCallScanner::end_string() {
  in_string_ = false;
  if (depth_ != 1) return;
  if (value_start_ != 0) return end_value(text_.size());
  const auto key = try_parse(std::string_view(text_).substr(string_start_));
  key_ = key && key->is_string() ? std::string(key->as_string()) : "";
}

void ToolCallScanner::start_value(size_t at) {
  value_start_ = at;
  // Arguments in a string are JSON in JSON: they must be read whole.
  streams_ = is_arguments(key_) && name_ && !has_arguments_ && text_[at] == '{';
  if (streams_) arguments_ += '{';
}

void ToolCallScanner::end_value(size_t end) {
  if (value_start_ == 0) return;
  const std::string_view value(text_.data() + value_start_, end - value_start_);
  const auto json = try_parse(value);
  if (key_ == "name" && json && json->is_string()) {
    name_ = std::string(json->as_string());
  } else if (is_arguments(key_) && !has_arguments_) {
    has_arguments_ = true;
    if (!streams_) late_arguments_ = json && json->is_string() ? json->as_string() : value;
  }
  streams_ = false;
  value_start_ = 0;
  expects_value_ = false;
  key_.clear();
}

void ToolCallScanner::finish() {
  is_done_ = true;
  if (!has_arguments_) late_arguments_ = "{}";
  arguments_ += late_arguments_;
}

}  // namespace veloz::http::openai
