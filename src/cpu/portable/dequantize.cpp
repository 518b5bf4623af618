// SPDX-License-Identifier: Apache-2.0
#include "cpu/portable/fp8_decoder.h"
#include "cpu/portable/lanes.h"

#include "cpu/dequantize_loop.h"

namespace veloz::cpu {
namespace {

struct DecodingLanes : Lanes, TableDecoder {};

}  // namespace

constexpr DequantizeMicro kDequantizePortable = make_dequantize_micro<DecodingLanes>();

}  // namespace veloz::cpu
