// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace veloz::cuda {

/// Which linears may go to cuBLASLt.
enum class LibraryUse : uint8_t {
  none,
  /// Those whose results it was seen to compute with the very bits of our kernels: a row is the
  /// same in every batch, with the library or without.
  same_bits,
  /// All, by its fastest algorithms: the last bits change with the number of rows beside a row.
  fastest,
};

}  // namespace veloz::cuda
