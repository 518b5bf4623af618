// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace veloz::grammar {

/// A set of Unicode scalar values (no surrogates), as sorted disjoint ranges.
class CodePointSet {
 public:
  using Range = std::pair<uint32_t, uint32_t>;  // both ends belong to it

  CodePointSet() = default;
  CodePointSet(std::initializer_list<Range> ranges);
  /// In any order, overlapping or not; surrogates and what is beyond Unicode are left out.
  explicit CodePointSet(std::vector<Range> ranges);

  static CodePointSet all();

  CodePointSet united(const CodePointSet& other) const;
  CodePointSet complement() const;
  CodePointSet without(const CodePointSet& other) const;

  bool contains(uint32_t code_point) const;
  bool empty() const { return ranges_.empty(); }
  bool is_ascii() const { return ranges_.empty() || ranges_.back().second < 0x80; }
  const std::vector<Range>& ranges() const { return ranges_; }
  bool operator==(const CodePointSet& other) const = default;

 private:
  void append(uint32_t first, uint32_t last);

  std::vector<Range> ranges_;
};

/// The UTF-8 of a range of code points: any byte of the first range, then any of the second, ...
struct Utf8Sequence {
  struct Bytes {
    uint8_t first = 0;
    uint8_t last = 0;
  };
  size_t length = 0;  // 1 to 4
  Bytes bytes[4];
};

/// The UTF-8 of the code points of `set`, as few sequences, none overlapping another.
std::vector<Utf8Sequence> utf8_sequences(const CodePointSet& set);

}  // namespace veloz::grammar
