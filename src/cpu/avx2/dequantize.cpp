// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/fp8_decoder.h"
#include "cpu/avx2/lanes.h"
#include "cpu/dequantize_loop.h"

namespace veloz::cpu {
namespace {

struct DecodingLanes : Lanes, NibbleDecoder {};

}  // namespace

constexpr DequantizeMicro kDequantizeAvx2 = make_dequantize_micro<DecodingLanes>();

}  // namespace veloz::cpu
