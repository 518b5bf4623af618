// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "ops/op.h"

namespace veloz::ops {

/// What shape rules are written with. Types and attributes may come from an untrusted plan: every
/// check that fails throws Error(corrupt_data) with op, operand, what it is and what was expected.
class ShapeRule {
 public:
  /// `operands` names the inputs; the last `num_optional` may be absent. `attrs` names all
  /// attributes the op knows; another one is an error.
  ShapeRule(std::string_view op, const OpSignature& signature,
            std::initializer_list<std::string_view> operands,
            std::initializer_list<std::string_view> attrs, size_t num_optional = 0);

  bool has(size_t operand) const { return operand < signature_.inputs.size(); }
  const ValueType& type(size_t operand) const { return signature_.inputs[operand]; }

  /// Rank 2, fp32 or bf16, a constant number of columns >= 1.
  const ValueType& expect_matrix(size_t operand) const;
  /// Rank 1 of a dtype.
  const ValueType& expect_vector(size_t operand, DType dtype) const;
  /// fp32 [R, V]: a constant number of columns >= 1.
  const ValueType& expect_logits(size_t operand) const;
  /// Rank 1, perhaps empty.
  const ValueType& expect_list(size_t operand, DType dtype) const;
  /// int32, one more than `rows`, which must be constant.
  void expect_offsets(size_t operand, const Dim& rows) const;
  /// Exactly this type; `why` says where it comes from ("as x").
  void expect_type(size_t operand, const ValueType& expected, std::string_view why) const;
  /// The extent on `axis`, which must be a constant >= 1.
  int64_t constant_extent(size_t operand, size_t axis) const;

  int64_t int_attr(std::string_view name, int64_t min, int64_t max) const;
  /// A finite number above zero.
  double positive_attr(std::string_view name) const;
  double float_attr(std::string_view name) const;
  std::string choice_attr(std::string_view name,
                          std::initializer_list<std::string_view> choices) const;

  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void fail_operand(size_t operand, const std::string& expectation) const;

 private:
  template <typename Read>
  auto read(const Read& read_attr) const;

  std::string_view op_;
  const OpSignature& signature_;
  std::vector<std::string_view> operands_;
};

inline constexpr int64_t kMaxExtent = int64_t{1} << 40;  // of one constant axis
inline constexpr int64_t kMaxHeads = int64_t{1} << 16;
inline constexpr int64_t kMaxHeadDim = int64_t{1} << 16;

/// Bytes of all operands, each once.
double operand_bytes(const OpCall& call);

/// Unit roundoff of a floating-point dtype: half the distance from 1 to the next value.
double unit_roundoff(DType dtype);

}  // namespace veloz::ops
