// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace veloz::ops {

/// Extents that are known only when a step runs. `none` marks a constant extent.
enum class Symbol : uint8_t {
  none,
  T,  // tokens of this step
  R,  // rows whose logits are wanted
  S,  // sequences in this step
  B,  // entries of a block table
  N,  // blocks of the KV cache
};
inline constexpr size_t kNumSymbols = 6;

std::string_view to_string(Symbol symbol);

/// One extent: a constant or a symbol.
struct Dim {
  Symbol symbol = Symbol::none;
  int64_t value = 0;  // of a constant

  Dim() = default;
  Dim(int64_t constant) : value(constant) {}    // NOLINT: a constant is a Dim
  Dim(Symbol symbol_in) : symbol(symbol_in) {}  // NOLINT: and so is a symbol
  bool is_constant() const { return symbol == Symbol::none; }
  bool operator==(const Dim&) const = default;
};

/// Values of all symbols in one step, indexed by Symbol.
using Binding = std::array<int64_t, kNumSymbols>;

/// Type of a graph value, printed as `bf16[T,2048]`.
struct ValueType {
  DType dtype = DType::fp32;
  std::vector<Dim> dims;

  bool operator==(const ValueType&) const = default;
  /// Shape under a binding.
  Shape bind(const Binding& binding) const;
};

std::string to_string(const ValueType& type);
/// Inverse of to_string; throws Error(corrupt_data) that quotes the text.
ValueType parse_value_type(std::string_view text);

}  // namespace veloz::ops
