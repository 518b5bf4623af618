// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "cpu/gemm_tile.h"

namespace veloz::cpu {

/// A product of rows with packed weights (cpu/layouts.h), quantized or not: what all linears are to
/// the loops over blocks, tiles and threads.
struct PanelProduct {
  const GemmMicro* micro = nullptr;
  const GemmExpansion* expansion = nullptr;  // null where micro serves any number of rows
  int64_t num_rows = 0;
  const std::byte* x = nullptr;  // [num_rows][...]
  ptrdiff_t x_stride = 0;        // bytes from row to row
  const std::byte* w = nullptr;  // [panels][steps][64]
  int64_t num_steps = 0;         // of a panel, whole ones of x
  int64_t tail_bytes = 0;        // of x in one more step; 0 with an expansion or with groups
  GemmGroups groups = {};        // of the first panel and row
  GemmStore store = {};          // of all of y; sums are the driver's
};

/// How a product is cut: rows of x in blocks, K in blocks, so that the panels at work stay in the
/// second-level cache while the rows of a block pass over them.
struct PanelBlocking {
  int64_t rows;   // per block
  int64_t steps;  // of a panel, per block: a multiple of `steps_per_group`
};

/// A pure function of the shape; changes no result. `expanded_steps` are those that one step
/// becomes before it is multiplied.
PanelBlocking choose_panel_blocking(int64_t num_rows, int64_t num_steps,
                                    int64_t steps_per_group = 1, int64_t expanded_steps = 1);

/// Scratch of all threads: the sums of one block of rows and one group of panels each and, with an
/// expansion, one block of expanded panels.
size_t panel_product_workspace_bytes(int64_t num_rows, bool has_expansion, int num_threads);

/// Each thread owns a range of panels and reads each of them once per block of rows; a row's result
/// does not depend on the other rows or on the threads. `workspace` is 64-byte aligned.
void run_panel_product(ThreadPool& pool, std::span<std::byte> workspace,
                       const PanelProduct& product) noexcept;

}  // namespace veloz::cpu
