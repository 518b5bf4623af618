// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "checkpoint/tensor_source.h"
#include "compress/quantize/matrix.h"
#include "graph/graph.h"

namespace veloz::compress {

/// Tensors of one layer as fp32, by their names in the checkpoint; those of rank 1 are one row.
using TensorSet = std::map<std::string, Matrix, std::less<>>;

/// Reads a tensor as fp32, on all threads. Throws Error(not_found) where there is none, and
/// Error(corrupt_data) where it holds what is no number: nothing could be calibrated on it.
Matrix read_tensor(const checkpoint::TensorSource& source, std::string_view name, ThreadPool& pool);

/// The tensors of every weight that these nodes read.
TensorSet read_tensors(const checkpoint::TensorSource& source, const graph::Graph& graph,
                       const std::vector<size_t>& nodes, ThreadPool& pool);

}  // namespace veloz::compress
