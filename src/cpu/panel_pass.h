// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "cpu/panel_product.h"

/// Products of up to 16 rows, sequences that decode together: weights pass by once, panel by panel,
/// each line multiplied with all rows. Tiles read several panels at once, too many streams for the
/// processor's own prefetch (where they do not run ahead), and of more than 6 rows each line would
/// come from a cache for every tile but the first, while memory rests. A single row passes where
/// its sums are integers: in one chain of floating-point sums each product would wait for the one
/// before.
namespace veloz::cpu {

/// Whether run_panel_pass is the way: a question of the shape and of what the micro-kernels have.
bool is_pass(const PanelProduct& product);

/// Of one thread; does not fall when rows are added.
size_t pass_scratch_bytes(int64_t num_rows, int64_t row_bytes);

/// run_panel_product of such a product, with its bits.
void run_panel_pass(ThreadPool& pool, std::span<std::byte> workspace,
                    const PanelProduct& product) noexcept;

}  // namespace veloz::cpu
