// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/uint4_lanes.h"
#include "cpu/avx2_vnni/dot.h"
#include "cpu/uint4_loop.h"

namespace veloz::cpu {
namespace {

struct DotUint4 : Uint4Lanes {
  using Chunk = I;
  static Chunk begin_chunk(const I& sums) { return sums; }
  static Chunk multiply_add(const Chunk& products, const Codes& codes, Inputs quad) {
    return {add_dot(products.low, codes.low, quad), add_dot(products.high, codes.high, quad)};
  }
  static I end_chunk(const I&, const Chunk& products) { return products; }
};

}  // namespace

// As avx2/uint4_gemm.cpp: the products of 4 rows are their sums here.
constexpr Uint4Micro kUint4Avx2Vnni = make_uint4_micro<DotUint4, 4>();

}  // namespace veloz::cpu
