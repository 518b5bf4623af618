// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/portable/lanes.h"
#include "cpu/uint4_loop.h"

namespace veloz::cpu {
namespace {

struct PlainUint4 : Lanes {
  struct Codes {
    uint8_t quad[16][4];
  };
  struct Inputs {
    int8_t value[4];
  };
  using Chunk = I;

  static Codes load_codes(const char* w) {
    Codes codes;
    std::memcpy(&codes, w, sizeof(codes));
    return codes;
  }
  static Codes low_codes(const Codes& codes) {
    Codes low;
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 4; ++j) low.quad[i][j] = static_cast<uint8_t>(codes.quad[i][j] & 15u);
    return low;
  }
  static Codes high_codes(const Codes& codes) {
    Codes high;
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 4; ++j) high.quad[i][j] = static_cast<uint8_t>(codes.quad[i][j] >> 4u);
    return high;
  }
  static Inputs load_quad(const char* x) {
    Inputs quad;
    std::memcpy(&quad, x, sizeof(quad));
    return quad;
  }

  static Chunk begin_chunk(const I& sums) { return sums; }
  static Chunk multiply_add(const Chunk& products, const Codes& codes, const Inputs& x) {
    I dots;
    for (int i = 0; i < 16; ++i) {
      dots.lane[i] = 0;
      for (int j = 0; j < 4; ++j) dots.lane[i] += codes.quad[i][j] * x.value[j];
    }
    return add_int(products, dots);
  }
  static I end_chunk(const I&, const Chunk& products) { return products; }
};

}  // namespace

constexpr Uint4Micro kUint4Portable = make_uint4_micro<PlainUint4, 2>();

}  // namespace veloz::cpu
