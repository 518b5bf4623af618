// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "base/tensor_view.h"

namespace veloz::api {

/// A KV cache is laid out for the device it is on: on a GPU [num_blocks, 2 (k, v), num_kv_heads,
/// block_size, row] with the rows contiguous, an int8 row's fp32 scale behind its codes; on the
/// CPU, and for the references, as ops/kv_layout.h has it. `cache` is in the CPU's layout, `plain`
/// has as many bytes.
void kv_from_plain(const TensorView& cache, const std::byte* plain);
void kv_to_plain(const TensorView& cache, std::byte* plain);

}  // namespace veloz::api
