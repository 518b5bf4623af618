// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rotary position embedding of one row, over the `Lanes` of the including file.

#include <cstddef>

#include "cpu/row_loop.h"
#include "cpu/row_tile.h"

namespace veloz::cpu {
namespace {

/// Two channels of 16 pairs each, rotated.
struct Rotated {
  Lanes::F first;
  Lanes::F second;
};

/// Products are rounded before they are added, so all instruction sets agree.
Rotated rotate(const Lanes::F& first, const Lanes::F& second, const Lanes::F& cosine,
               const Lanes::F& sine) {
  return {Lanes::sub(Lanes::mul(first, cosine), Lanes::mul(second, sine)),
          Lanes::add(Lanes::mul(second, cosine), Lanes::mul(first, sine))};
}

/// Channels i and i + rotary_dim / 2 are a pair.
template <typename Row>
void rotate_neox(const RopeRow& row, const void* x, void* y) {
  const int64_t half = row.rotary_dim / 2;
  for_each_vector(0, half, [&](int64_t i, auto span) {
    const Rotated rotated =
        rotate(Row::load(x, i, span), Row::load(x, half + i, span),
               Fp32Row::load(row.cosines, i, span), Fp32Row::load(row.sines, i, span));
    Row::store(y, i, rotated.first, span);
    Row::store(y, half + i, rotated.second, span);
  });
}

/// Halves of 32 channels: those with even index and those with odd.
struct Channels {
  alignas(64) float flat[2 * kLanes];

  template <typename Row>
  static Channels load(const void* x, int64_t i, Part pairs) {
    Channels channels;
    for_each_vector(0, 2 * pairs.count, [&](int64_t j, auto span) {
      Lanes::store(channels.flat + j, Row::load(x, i + j, span));
    });
    return channels;
  }
  template <typename Row>
  void store(void* y, int64_t i, Part pairs) const {
    for_each_vector(0, 2 * pairs.count, [&](int64_t j, auto span) {
      Row::store(y, i + j, Lanes::load(flat + j), span);
    });
  }
  Lanes::F each_second_from(int64_t first) const {
    float lanes[kLanes];
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] = flat[2 * j + first];
    return Lanes::load(lanes);
  }
  void set_each_second_from(int64_t first, const Lanes::F& a) {
    float lanes[kLanes];
    Lanes::store(lanes, a);
    for (int64_t j = 0; j < kLanes; ++j) flat[2 * j + first] = lanes[j];
  }
};

/// Channels 2i and 2i + 1 are a pair.
template <typename Row>
void rotate_interleaved(const RopeRow& row, const void* x, void* y) {
  for (int64_t i = 0; i < row.rotary_dim / 2; i += kLanes) {
    const int64_t left = row.rotary_dim / 2 - i;
    const Part pairs{left < kLanes ? left : kLanes};
    Channels channels = Channels::load<Row>(x, 2 * i, pairs);
    const Rotated rotated =
        rotate(channels.each_second_from(0), channels.each_second_from(1),
               Fp32Row::load(row.cosines, i, pairs), Fp32Row::load(row.sines, i, pairs));
    channels.set_each_second_from(0, rotated.first);
    channels.set_each_second_from(1, rotated.second);
    channels.store<Row>(y, 2 * i, pairs);
  }
}

template <typename Row, void (*rotate_head)(const RopeRow&, const void*, void*)>
void rope_row(const RopeRow& row) {
  for (int64_t head = 0; head < row.num_heads; ++head) {
    const auto* const x =
        static_cast<const char*>(row.x) + head * row.head_dim * Row::kElementBytes;
    auto* const y = static_cast<char*>(row.y) + head * row.head_dim * Row::kElementBytes;
    rotate_head(row, x, y);
    const int64_t rotated_bytes = row.rotary_dim * Row::kElementBytes;
    if (x != y && row.rotary_dim < row.head_dim)
      __builtin_memcpy(y + rotated_bytes, x + rotated_bytes,
                       static_cast<size_t>(row.head_dim * Row::kElementBytes - rotated_bytes));
  }
}

}  // namespace
}  // namespace veloz::cpu
