// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "checkpoint/quantization.h"
#include "graph/graph.h"

namespace veloz::compiler {

// Names of a quantized linear's tensors after its module's (checkpoint/quantization.h).
inline constexpr const char* kCodesTensor = ".weight";
inline constexpr const char* kScaleTensor = ".weight_scale";
inline constexpr const char* kZeroTensor = ".weight_zero";
inline constexpr const char* kPermutationTensor = ".permutation";

/// Module of the language-model head, whether it has a tensor of its own or shares the embedding's.
inline constexpr const char* kLmHead = "lm_head";

/// The module of a `linear` by its weight's tensor; nothing where that is several tensors. Where
/// the weight is a table that an embedding reads too, it is kLmHead.
std::optional<std::string> module_of(const graph::Graph& graph, const graph::UseMap& uses,
                                     const graph::Node& linear);
/// Whether an `embedding` reads this weight.
bool is_read_as_table(const graph::Graph& graph, const graph::UseMap& uses, graph::ValueId weight);

struct QuantizedShapes {
  Shape codes;   // [N, K], or [N, K / 2]
  Shape scales;  // [N, G], of the zeros too
};
/// Of a weight [n, k], which the scheme must fit.
QuantizedShapes quantized_shapes(const checkpoint::LinearScheme& scheme, int64_t n, int64_t k);
DType zero_dtype(const checkpoint::LinearScheme& scheme);

/// Attributes of `quantize` for activations of k columns.
ops::Attrs quantize_attrs(const checkpoint::LinearScheme& scheme, int64_t k);
/// Attributes of the quantized form of a `linear` with results of `out` and attributes `attrs`.
ops::Attrs linear_attrs(const checkpoint::LinearScheme& scheme, DType out, const ops::Attrs& attrs);

/// Why no op runs this `linear` in this scheme; nothing where one does.
std::optional<std::string> why_not_quantizable(const checkpoint::LinearScheme& scheme,
                                               const graph::Graph& graph,
                                               const graph::Node& linear);

/// Modules that the graph runs quantized.
std::set<std::string> quantized_modules(const graph::Graph& graph);

/// "int8 weights, int8 activations per token", "uint4x2 weights in groups of 32 (fp16 scales)".
std::string describe_scheme(const checkpoint::LinearScheme& scheme);

}  // namespace veloz::compiler
