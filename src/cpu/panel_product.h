// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/tensor_view.h"
#include "base/thread_pool.h"
#include "cpu/dequantize_tile.h"
#include "cpu/gemm_tile.h"
#include "cpu/parallel.h"

namespace veloz::cpu {

/// Weights that are dequantized, block by block, before they are multiplied, whatever the rows.
struct Dequantization {
  DequantizeFunction run = nullptr;
  int64_t step_columns = 0;    // of K, in a step of codes
  int64_t expanded_steps = 0;  // that a step of codes becomes
  int64_t num_columns = 0;     // K
  int64_t group = 0;           // columns
  ScaleType scale_type = ScaleType::fp32;
  const char* scales = nullptr;  // [panels][groups][16]
  ptrdiff_t scales_stride = 0;   // bytes from panel to panel
  const char* zeros = nullptr;   // [panels][groups][16], or null
  ptrdiff_t zeros_stride = 0;
};

/// A product of rows with packed weights (cpu/layouts.h), quantized or not: what all linears are to
/// the loops over blocks, tiles and threads.
struct PanelProduct {
  const GemmMicro* micro = nullptr;
  const Dequantization* dequantization = nullptr;  // null where micro reads w itself
  int64_t num_rows = 0;
  const std::byte* x = nullptr;  // [num_rows][...]
  ptrdiff_t x_stride = 0;        // bytes from row to row
  const std::byte* w = nullptr;  // [panels][steps][64]
  int64_t num_steps = 0;         // of a panel of w, whole ones of x
  int64_t tail_bytes = 0;  // of x in one more step of w; 0 where it is widened, or with groups
  GemmGroups groups = {};  // of the first panel and row
  GemmStore store = {};    // of all of y; sums are the driver's
};

// 4 panels x 1024 steps x 64 bytes = 256 KiB: two such blocks, one at work and one on its way from
// memory, fit in a second-level cache of 1 MiB beside the rows of x.
inline constexpr int64_t kStepsPerBlock = 1024;

/// How a product is cut: rows of x in blocks, K in blocks, so that the panels at work stay in the
/// second-level cache while the rows of a block pass over them.
struct PanelBlocking {
  int64_t rows;   // per block
  int64_t steps;  // of a panel, per block: a multiple of `steps_per_group`
};

/// Into y, with a bias unless that has no data.
GemmStore store_to(const TensorView& y, const TensorView& bias);

/// A pure function of the shape; changes no result. `expanded_steps` are those that one step
/// becomes before it is multiplied, of which a block has at most `max_steps`.
PanelBlocking choose_panel_blocking(int64_t num_rows, int64_t num_steps,
                                    int64_t steps_per_group = 1, int64_t expanded_steps = 1,
                                    int64_t max_steps = kStepsPerBlock);

/// Scratch of all threads: the sums of one block of rows and one group of panels each and, with an
/// expansion or dequantization, one block of expanded panels; or, `row_bytes` being those of a row
/// of x, the rows of a pass.
size_t panel_product_workspace_bytes(const GemmMicro& micro, int64_t num_rows, int64_t row_bytes,
                                     int num_threads);
size_t dequantized_product_workspace_bytes(int64_t num_rows, int num_threads);

/// One line of scales for each panel: they come too rarely for the processor to expect them.
void ask_for_scales(const PanelProduct& product, Range panels);

/// Some rows' sums over some panels to their place in y.
void store_panels(const PanelProduct& product, const GemmMicro& micro, Range rows, Range panels,
                  const float* sums, int64_t sums_stride);

/// Each thread takes ranges of panels and reads each of them once per block of rows; a row's result
/// does not depend on the other rows or on the threads. `workspace` is 64-byte aligned.
void run_panel_product(ThreadPool& pool, std::span<std::byte> workspace,
                       const PanelProduct& product) noexcept;

}  // namespace veloz::cpu
