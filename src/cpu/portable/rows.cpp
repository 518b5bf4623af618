// SPDX-License-Identifier: Apache-2.0
#include "cpu/portable/lanes.h"

#include "cpu/row_micro.h"

namespace veloz::cpu {

constexpr RowMicros kRowsPortable = make_row_micros();

}  // namespace veloz::cpu
