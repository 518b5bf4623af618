// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/lanes.h"

#include "cpu/row_micro.h"

namespace veloz::cpu {

constexpr RowMicros kRowsAvx512 = make_row_micros();

}  // namespace veloz::cpu
