// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/pack_uint4_rows.h"
#include "cpu/avx512/uint4_lanes.h"
#include "cpu/avx512_vnni/dot.h"
#include "cpu/uint4_loop.h"

namespace veloz::cpu {
namespace {

struct DotUint4 : Uint4Lanes {
  using Chunk = I;
  static Chunk begin_chunk(I sums) { return sums; }
  static Chunk multiply_add(Chunk products, Codes codes, Inputs quad) {
    return add_dot(products, codes, quad);
  }
  static I end_chunk(I, Chunk products) { return products; }
};

}  // namespace

// Over two panels 6 rows have 12 sums of each kind; four registers of codes, their mask, one of
// scales and one input make 31 of 32.
constexpr Uint4Micro kUint4Avx512Vnni = make_uint4_micro<DotUint4, 4, 6>(transpose_uint4_rows);
// 12 rows have 24 sums of products; those over groups wait in memory.
constexpr Uint4Micro kUint4Avx512VnniTall = make_uint4_micro<DotUint4, 4, 12>(transpose_uint4_rows);

}  // namespace veloz::cpu
