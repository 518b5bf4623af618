// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/lanes.h"

#include "cpu/row_micro.h"

namespace veloz::cpu {

constexpr RowMicros kRowsAvx2 = make_row_micros();

}  // namespace veloz::cpu
