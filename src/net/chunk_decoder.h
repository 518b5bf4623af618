// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace veloz::net {

/// Takes the chunks of RFC 9112 off a body, byte by byte and strictly: a size is hexadecimal digits
/// alone, lines end in CR LF, extensions and trailer are read over.
class ChunkDecoder {
 public:
  enum class State { reading, done, malformed, too_large };

  /// `max_bytes`: of the body without its framing.
  explicit ChunkDecoder(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  /// Hands the body's bytes to `sink` and returns how many bytes were read: all, unless the body
  /// ended or cannot go on.
  size_t feed(std::string_view bytes, const std::function<void(std::string_view)>& sink);
  State state() const { return state_; }

 private:
  enum class At {
    size_begin,
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_begin,
    trailer_name,
    trailer_value,
    trailer_lf,
    end_lf
  };

  void step(char c);
  void step_size(char c);
  void step_trailer(char c);
  void begin_data();
  void expect(char c, char expected, At next);
  void read_over(char c);

  State state_ = State::reading;
  At at_ = At::size_begin;
  uint64_t max_bytes_;
  uint64_t num_bytes_ = 0;   // announced so far
  uint64_t chunk_left_ = 0;  // of the chunk being read
  int num_digits_ = 0;
  size_t num_read_over_ = 0;  // bytes of extensions and trailer
};

}  // namespace veloz::net
