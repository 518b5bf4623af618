// SPDX-License-Identifier: Apache-2.0
#include "text/stop_matcher.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace veloz::text {
namespace {

constexpr size_t kMaxStopBytes = size_t{64} << 10;

}  // namespace

StopMatcher::StopMatcher(const std::vector<std::string>& stops, StopText stop_text)
    : stop_text_(stop_text) {
  size_t num_bytes = 0;
  for (size_t i = 0; i < stops.size(); ++i) {
    if (stops[i].empty())
      throw Error(ErrorKind::invalid_input, fmt::format("stop string {} is empty", i),
                  "leave it out");
    num_bytes += stops[i].size();
    if (num_bytes > kMaxStopBytes)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("the stop strings have more than {} bytes", kMaxStopBytes),
                  "use fewer or shorter ones");
    add_stop(stops[i], i);
    stop_sizes_.push_back(stops[i].size());
  }
  link();
}

std::optional<uint32_t> StopMatcher::child(uint32_t node, uint8_t byte) const {
  const auto& children = nodes_[node].children;
  const auto at = std::lower_bound(children.begin(), children.end(), std::pair(byte, uint32_t{0}));
  if (at == children.end() || at->first != byte) return std::nullopt;
  return at->second;
}

void StopMatcher::add_stop(std::string_view stop, size_t stop_idx) {
  uint32_t node = 0;
  for (const char c : stop) {
    const auto byte = static_cast<uint8_t>(c);
    std::optional<uint32_t> next = child(node, byte);
    if (!next) {
      next = static_cast<uint32_t>(nodes_.size());
      auto& children = nodes_[node].children;
      const std::pair entry(byte, *next);
      children.insert(std::lower_bound(children.begin(), children.end(), entry), entry);
      const size_t depth = nodes_[node].depth + 1;
      nodes_.push_back({.children = {}, .depth = depth, .stop = {}});
    }
    node = *next;
  }
  if (!nodes_[node].stop) nodes_[node].stop = stop_idx;
}

// Breadth first, so that the fallbacks of shorter paths are known.
void StopMatcher::link() {
  std::vector<uint32_t> order = {0};
  for (size_t i = 0; i < order.size(); ++i) {
    const uint32_t parent = order[i];
    for (const auto& [byte, node] : nodes_[parent].children) {
      order.push_back(node);
      nodes_[node].fallback = parent == 0 ? 0 : step(nodes_[parent].fallback, byte);
      if (!nodes_[node].stop) nodes_[node].stop = nodes_[nodes_[node].fallback].stop;
    }
  }
}

uint32_t StopMatcher::step(uint32_t node, uint8_t byte) const {
  while (true) {
    if (const std::optional<uint32_t> next = child(node, byte)) return *next;
    if (node == 0) return 0;
    node = nodes_[node].fallback;
  }
}

std::string StopMatcher::push(std::string_view piece) {
  if (matched_) return {};
  buffer_ += piece;
  for (size_t i = buffer_.size() - piece.size(); i < buffer_.size(); ++i) {
    state_ = step(state_, static_cast<uint8_t>(buffer_[i]));
    matched_ = nodes_[state_].stop;
    if (!matched_) continue;
    const bool is_left_out = stop_text_ == StopText::leave_out;
    buffer_.resize(i + 1 - (is_left_out ? stop_sizes_[*matched_] : 0));
    return finish();
  }
  const size_t num_certain = buffer_.size() - nodes_[state_].depth;
  std::string certain = buffer_.substr(num_given_, num_certain - num_given_);
  num_given_ = num_certain;
  // Moves what is held to the front once that is less than was given: amortised constant time.
  if (num_given_ > buffer_.size() / 2) buffer_.erase(0, std::exchange(num_given_, 0));
  return certain;
}

std::string StopMatcher::finish() {
  std::string rest = buffer_.substr(num_given_);
  buffer_.clear();
  num_given_ = 0;
  state_ = 0;
  return rest;
}

}  // namespace veloz::text
