// SPDX-License-Identifier: Apache-2.0
#include "net/chunk_decoder.h"

#include <algorithm>
#include <optional>

#include "net/text.h"

namespace veloz::net {
namespace {

// What extensions and trailer may cost in all: they are read for nothing.
constexpr size_t kMaxReadOver = size_t{16} * 1024;
constexpr int kMaxDigits = 16;

}  // namespace

size_t ChunkDecoder::feed(std::string_view bytes,
                          const std::function<void(std::string_view)>& sink) {
  size_t used = 0;
  while (used < bytes.size() && state_ == State::reading) {
    if (at_ == At::data) {
      const auto n = static_cast<size_t>(std::min<uint64_t>(chunk_left_, bytes.size() - used));
      sink(bytes.substr(used, n));
      used += n;
      chunk_left_ -= n;
      if (chunk_left_ == 0) at_ = At::data_cr;
    } else {
      step(bytes[used++]);
    }
  }
  return used;
}

void ChunkDecoder::step(char c) {
  switch (at_) {
    case At::size_begin:
    case At::size:
      return step_size(c);
    case At::extension:
      if (c == '\r')
        at_ = At::size_lf;
      else
        read_over(c);
      return;
    case At::size_lf:
      if (c == '\n') return begin_data();
      state_ = State::malformed;
      return;
    case At::data:
      return;  // not read byte by byte
    case At::data_cr:
      return expect(c, '\r', At::data_lf);
    case At::data_lf:
      return expect(c, '\n', At::size_begin);
    case At::trailer_begin:
    case At::trailer_name:
    case At::trailer_value:
      return step_trailer(c);
    case At::trailer_lf:
      return expect(c, '\n', At::trailer_begin);
    case At::end_lf:
      state_ = c == '\n' ? State::done : State::malformed;
      return;
  }
}

void ChunkDecoder::step_size(char c) {
  if (const std::optional<int> digit = hex_digit(c)) {
    if (at_ == At::size_begin) {
      chunk_left_ = 0;
      num_digits_ = 0;
    }
    at_ = At::size;
    if (++num_digits_ > kMaxDigits) state_ = State::malformed;
    chunk_left_ = chunk_left_ * 16 + static_cast<uint64_t>(*digit);
    return;
  }
  if (at_ == At::size && c == '\r')
    at_ = At::size_lf;
  else if (at_ == At::size && c == ';')
    at_ = At::extension;
  else
    state_ = State::malformed;
}

void ChunkDecoder::begin_data() {
  if (chunk_left_ > max_bytes_ - num_bytes_) {
    state_ = State::too_large;
    return;
  }
  num_bytes_ += chunk_left_;
  at_ = chunk_left_ == 0 ? At::trailer_begin : At::data;
}

void ChunkDecoder::step_trailer(char c) {
  if (at_ == At::trailer_begin && c == '\r') {
    at_ = At::end_lf;
  } else if (at_ == At::trailer_value) {
    if (c == '\r')
      at_ = At::trailer_lf;
    else
      read_over(c);
  } else if (at_ == At::trailer_name && c == ':') {
    at_ = At::trailer_value;
  } else if (is_token_char(c)) {
    at_ = At::trailer_name;
    read_over(c);
  } else {
    state_ = State::malformed;
  }
}

void ChunkDecoder::expect(char c, char expected, At next) {
  if (c == expected)
    at_ = next;
  else
    state_ = State::malformed;
}

void ChunkDecoder::read_over(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if ((byte < 0x20 && c != '\t') || byte == 0x7f || ++num_read_over_ > kMaxReadOver)
    state_ = State::malformed;
}

}  // namespace veloz::net
