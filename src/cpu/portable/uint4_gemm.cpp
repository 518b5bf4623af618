// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"
#include "cpu/portable/lanes.h"
#include "cpu/uint4_loop.h"

namespace veloz::cpu {
namespace {

struct PlainUint4 : Lanes {
  struct Sums {
    uint32_t lane[16];  // of int32: sums wrap on every instruction set
  };
  struct Codes {
    uint8_t quad[16][4];
  };
  struct Inputs {
    int8_t value[4];
  };
  using Chunk = Sums;

  static F load_fp16(const void* from) {
    uint16_t bits[16];
    std::memcpy(bits, from, sizeof(bits));
    F lanes;
    for (int i = 0; i < 16; ++i) lanes.lane[i] = fp16_to_fp32(bits[i]);
    return lanes;
  }
  static Sums set1_int(int32_t value) {
    Sums sums;
    for (uint32_t& lane : sums.lane) lane = static_cast<uint32_t>(value);
    return sums;
  }
  static Sums load_bytes(const uint8_t* from) {
    Sums sums;
    for (int i = 0; i < 16; ++i) sums.lane[i] = from[i];
    return sums;
  }
  static Sums mul_int(const Sums& a, const Sums& b) {
    Sums sums;
    for (int i = 0; i < 16; ++i) sums.lane[i] = a.lane[i] * b.lane[i];
    return sums;
  }
  static F to_float(const Sums& a) {
    F lanes;
    for (int i = 0; i < 16; ++i)
      lanes.lane[i] = static_cast<float>(static_cast<int32_t>(a.lane[i]));
    return lanes;
  }
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

  static Chunk begin_chunk(const Sums& sums) { return sums; }
  static Chunk multiply_add(const Chunk& products, const Codes& codes, const Inputs& x) {
    Chunk result;
    for (int i = 0; i < 16; ++i) {
      int32_t dot = 0;
      for (int j = 0; j < 4; ++j) dot += codes.quad[i][j] * x.value[j];
      result.lane[i] = products.lane[i] + static_cast<uint32_t>(dot);
    }
    return result;
  }
  static Sums end_chunk(const Sums&, const Chunk& products) { return products; }
};

}  // namespace

constexpr Uint4Micro kUint4Portable = make_uint4_micro<PlainUint4, 2>();

}  // namespace veloz::cpu
