// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/tensor_view.h"
#include "cpu/gemm_tile.h"
#include "cpu/panel_product.h"
#include "cpu/parallel.h"

namespace veloz::cpu {

// Rows of x as micro-kernels read them: in a copy where those widen them, or as they are. A step of
// packed weights has `step_columns` of K.

/// Of weights that are not quantized.
inline int64_t columns_of_step(DType dtype) {
  return kStepBytesX / static_cast<int64_t>(dtype_bytes(dtype));
}

/// What tiles read of a row, its last step filled up.
int64_t tile_row_bytes(const GemmMicro& micro, int64_t num_columns, int64_t step_columns);

/// Bytes of that copy, a multiple of 64; 0 where there is none.
size_t widened_rows_bytes(const GemmMicro& micro, const Shape& x, int64_t step_columns);

/// The product's rows and steps. The copy is where `workspace` begins; returns what is left of it.
std::span<std::byte> set_rows(PanelProduct& product, const TensorView& x, int64_t step_columns,
                              std::span<std::byte> workspace);

/// Brings some rows, or all, to the copy, if there is one.
void widen_rows(const PanelProduct& product, const TensorView& x, Range rows, std::byte* copy);
void widen_rows(ThreadPool& pool, const PanelProduct& product, const TensorView& x,
                std::byte* copy);

}  // namespace veloz::cpu
