// SPDX-License-Identifier: Apache-2.0
#include "http/openai/tool_parser.h"

#include <algorithm>
#include <utility>

namespace veloz::http::openai {
namespace {

constexpr std::string_view kHermesEnd = "</tool_call>";
constexpr std::string_view kJsonSpaces = " \n\t\r";
constexpr std::string_view kBetweenCalls = " \n\t\r,;[]";

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string marker_of(ToolFormat format) {
  switch (format) {
    case ToolFormat::hermes:
      return "<tool_call>";
    case ToolFormat::mistral:
      return "[TOOL_CALLS]";
    case ToolFormat::llama3:
      return "<|python_tag|>";
    case ToolFormat::forced:
      return "";
  }
  return "";
}

// How many bytes at the end of `text` could be the start of `marker`.
size_t held_back(std::string_view text, std::string_view marker) {
  for (size_t size = std::min(text.size(), marker.size() - 1); size > 0; --size)
    if (text.substr(text.size() - size) == marker.substr(0, size)) return size;
  return 0;
}

}  // namespace

std::optional<ToolFormat> find_tool_format(std::string_view source) {
  if (!contains(source, "tools")) return std::nullopt;
  // Formats with the same markers around something else than a JSON object.
  if (contains(source, "<function=") || contains(source, "[ARGS]")) return std::nullopt;
  if (contains(source, "<tool_call>")) return ToolFormat::hermes;
  if (contains(source, "[TOOL_CALLS]")) return ToolFormat::mistral;
  if (contains(source, "<|python_tag|>") ||
      (contains(source, "<|start_header_id|>") && contains(source, "\"parameters\"")))
    return ToolFormat::llama3;
  return std::nullopt;
}

ToolParser::ToolParser(ToolFormat format, CallLimit limit)
    : format_(format),
      limit_(limit),
      state_(format == ToolFormat::forced   ? State::calls
             : format == ToolFormat::llama3 ? State::start
                                            : State::content),
      marker_(marker_of(format)) {}

ToolParser ToolParser::of_named(std::string name) {
  ToolParser parser(ToolFormat::forced, CallLimit::one);
  parser.name_ = std::move(name);
  parser.state_ = State::arguments;
  parser.call_ = std::make_unique<ToolCallScanner>();
  return parser;
}

ParsedPiece ToolParser::push(std::string_view text) {
  ParsedPiece piece;
  pending_ += text;
  bool goes_on = true;
  while (goes_on && !pending_.empty()) {
    switch (state_) {
      case State::start:
        goes_on = take_start();
        break;
      case State::content:
        goes_on = take_content(piece);
        break;
      case State::calls:
        goes_on = take_calls(piece);
        break;
      case State::arguments:
        take_arguments(piece);
        break;
      case State::over:
        pending_.clear();
        break;
    }
  }
  return piece;
}

// Each take_... that can fail to go on returns whether there is something left to look at.

bool ToolParser::take_start() {
  const size_t first = pending_.find_first_not_of(kJsonSpaces);
  if (first == std::string::npos) return false;
  const std::string_view rest = std::string_view(pending_).substr(first);
  if (rest.front() == '{') {
    state_ = State::calls;
  } else if (rest.starts_with(marker_)) {
    pending_.erase(0, first + marker_.size());
    state_ = State::calls;
  } else if (std::string_view(marker_).starts_with(rest)) {
    return false;
  } else {
    state_ = State::content;
  }
  return true;
}

bool ToolParser::take_content(ParsedPiece& piece) {
  const bool may_call = format_ == ToolFormat::hermes || format_ == ToolFormat::mistral;
  const size_t marker = may_call ? pending_.find(marker_) : std::string::npos;
  if (marker != std::string::npos) {
    give_content(std::string_view(pending_).substr(0, marker), piece);
    spaces_.clear();
    pending_.erase(0, marker + marker_.size());
    state_ = State::calls;
    return true;
  }
  const size_t size = pending_.size() - (may_call ? held_back(pending_, marker_) : 0);
  give_content(std::string_view(pending_).substr(0, size), piece);
  pending_.erase(0, size);
  return false;
}

bool ToolParser::take_calls(ParsedPiece& piece) {
  if (call_) {
    take_call(piece);
    return true;
  }
  pending_.erase(0, std::min(pending_.find_first_not_of(kBetweenCalls), pending_.size()));
  if (pending_.empty()) return false;
  if (pending_.front() == '{') {
    call_ = std::make_unique<ToolCallScanner>();
    return true;
  }
  if (format_ == ToolFormat::hermes) {
    if (pending_.starts_with(kHermesEnd))
      pending_.erase(0, kHermesEnd.size());
    else if (kHermesEnd.starts_with(pending_))
      return false;
  }
  state_ = State::content;
  return true;
}

void ToolParser::take_call(ParsedPiece& piece) {
  pending_.erase(0, call_->push(pending_));
  if (call_->is_done() && !call_->is_call() && !is_call_open_) {
    give_content(call_->text(), piece);
    call_.reset();
    return;
  }
  ToolCallPiece part{.index = num_calls_};
  if (!is_call_open_ && call_->name()) {
    part.name = call_->name();
    is_call_open_ = true;
  }
  if (is_call_open_) part.arguments = call_->take_arguments();
  if (part.name || !part.arguments.empty()) piece.calls.push_back(std::move(part));
  if (call_->is_done()) end_call();
}

void ToolParser::take_arguments(ParsedPiece& piece) {
  const size_t size = call_->push(pending_);
  ToolCallPiece part{.arguments = pending_.substr(0, size)};
  pending_.erase(0, size);
  if (!is_call_open_) part.name = name_;
  is_call_open_ = true;
  piece.calls.push_back(std::move(part));
  if (call_->is_done()) end_call();
}

void ToolParser::end_call() {
  call_.reset();
  is_call_open_ = false;
  ++num_calls_;
  if (limit_ == CallLimit::one) state_ = State::over;
}

void ToolParser::give_content(std::string_view text, ParsedPiece& piece) {
  const size_t last = text.find_last_not_of(kJsonSpaces);
  if (last == std::string_view::npos) {
    spaces_ += text;
    return;
  }
  piece.content += std::exchange(spaces_, std::string(text.substr(last + 1)));
  piece.content += text.substr(0, last + 1);
}

ParsedPiece ToolParser::finish() {
  ParsedPiece piece;
  if (call_ && !is_call_open_) pending_.insert(0, call_->text());
  call_.reset();
  give_content(std::exchange(pending_, {}), piece);
  if (num_calls_ == 0 && !is_call_open_) piece.content += std::exchange(spaces_, {});
  return piece;
}

}  // namespace veloz::http::openai
