// SPDX-License-Identifier: Apache-2.0
#include "grammar/code_points.h"

#include <algorithm>
#include <string>
#include <utility>

#include "text/utf8.h"

namespace veloz::grammar {
namespace {

constexpr uint32_t kLastCodePoint = 0x10ffff;
constexpr uint32_t kFirstSurrogate = 0xd800;
constexpr uint32_t kLastSurrogate = 0xdfff;
constexpr uint32_t kLastOfLength[] = {0x7f, 0x7ff, 0xffff, kLastCodePoint};

Utf8Sequence sequence_of(uint32_t first, uint32_t last) {
  std::string low, high;
  text::append_code_point(low, first);
  text::append_code_point(high, last);
  Utf8Sequence sequence;
  sequence.length = low.size();
  for (size_t i = 0; i < low.size(); ++i)
    sequence.bytes[i] = {static_cast<uint8_t>(low[i]), static_cast<uint8_t>(high[i])};
  return sequence;
}

/// Of a range whose ends have UTF-8 of one length: cut until each part is a product of byte ranges,
/// which it is where the bits below some byte are all free.
void split(uint32_t first, uint32_t last, std::vector<Utf8Sequence>& out) {
  for (uint32_t bits = 6; bits <= 18; bits += 6) {
    const uint32_t low_bits = (uint32_t{1} << bits) - 1;
    if ((first & ~low_bits) == (last & ~low_bits)) break;
    if ((first & low_bits) != 0) {
      split(first, first | low_bits, out);
      return split((first | low_bits) + 1, last, out);
    }
    if ((last & low_bits) != low_bits) {
      split(first, (last & ~low_bits) - 1, out);
      return split(last & ~low_bits, last, out);
    }
  }
  out.push_back(sequence_of(first, last));
}

}  // namespace

CodePointSet::CodePointSet(std::initializer_list<Range> ranges)
    : CodePointSet(std::vector<Range>(ranges)) {}

CodePointSet::CodePointSet(std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end());
  for (const auto& [first, last] : ranges) {
    append(first, std::min(last, kFirstSurrogate - 1));
    append(std::max(first, kLastSurrogate + 1), std::min(last, kLastCodePoint));
  }
}

/// After all ranges that are there.
void CodePointSet::append(uint32_t first, uint32_t last) {
  if (first > last) return;
  if (!ranges_.empty() && ranges_.back().second + 1 >= first)
    ranges_.back().second = std::max(ranges_.back().second, last);
  else
    ranges_.emplace_back(first, last);
}

CodePointSet CodePointSet::all() { return {{0, kLastCodePoint}}; }

CodePointSet CodePointSet::united(const CodePointSet& other) const {
  std::vector<Range> ranges = ranges_;
  ranges.insert(ranges.end(), other.ranges_.begin(), other.ranges_.end());
  return CodePointSet(std::move(ranges));
}

CodePointSet CodePointSet::complement() const {
  std::vector<Range> gaps;
  uint32_t next = 0;
  for (const auto& [first, last] : ranges_) {
    if (first > next) gaps.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= kLastCodePoint) gaps.emplace_back(next, kLastCodePoint);
  return CodePointSet(std::move(gaps));
}

CodePointSet CodePointSet::without(const CodePointSet& other) const {
  return complement().united(other).complement();
}

bool CodePointSet::contains(uint32_t code_point) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
    return range.first <= code_point && code_point <= range.second;
  });
}

std::vector<Utf8Sequence> utf8_sequences(const CodePointSet& set) {
  std::vector<Utf8Sequence> sequences;
  for (const auto& [first, last] : set.ranges()) {
    uint32_t next = first;
    for (const uint32_t end : kLastOfLength) {
      if (next > end || next > last) continue;
      split(next, std::min(last, end), sequences);
      next = end + 1;
    }
  }
  return sequences;
}

}  // namespace veloz::grammar
