// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace veloz::ops {

ShapeRule::ShapeRule(std::string_view op, const OpSignature& signature,
                     std::initializer_list<std::string_view> operands,
                     std::initializer_list<std::string_view> attrs, size_t num_optional)
    : op_(op), signature_(signature), operands_(operands) {
  const size_t count = signature.inputs.size();
  if (count > operands_.size() || count + num_optional < operands_.size())
    fail(
        fmt::format("{} operands, expected {}{} ({})", count,
                    num_optional == 0 ? "" : fmt::format("{} to ", operands_.size() - num_optional),
                    operands_.size(), fmt::join(operands_, ", ")));
  for (const auto& [name, value] : signature.attrs.entries())
    if (std::ranges::find(attrs, name) == attrs.end())
      fail(fmt::format("unknown attribute \"{}\", expected {}", name.substr(0, 40),
                       attrs.size() == 0 ? "none" : fmt::format("{}", fmt::join(attrs, ", "))));
}

template <typename Read>
auto ShapeRule::read(const Read& read_attr) const {
  try {
    return read_attr();
  } catch (Error& e) {
    e.add_context(op_);
    throw;
  }
}

void ShapeRule::fail(const std::string& message) const {
  throw Error(ErrorKind::corrupt_data, fmt::format("{}: {}", op_, message),
              "the graph or plan is damaged or was edited by hand; build the engine again");
}

void ShapeRule::fail_operand(size_t operand, const std::string& expectation) const {
  fail(fmt::format("operand {} ({}) is {}, expected {}", operand, operands_[operand],
                   to_string(type(operand)), expectation));
}

const ValueType& ShapeRule::expect_matrix(size_t operand) const {
  const ValueType& t = type(operand);
  if (t.dims.size() != 2 || (t.dtype != DType::fp32 && t.dtype != DType::bf16))
    fail_operand(operand, "a matrix of fp32 or bf16");
  if (t.dims[0].is_constant()) constant_extent(operand, 0);
  constant_extent(operand, 1);
  return t;
}

const ValueType& ShapeRule::expect_vector(size_t operand, DType dtype) const {
  const ValueType& t = type(operand);
  if (t.dims.size() != 1 || t.dtype != dtype)
    fail_operand(operand, fmt::format("a vector of {}", veloz::to_string(dtype)));
  if (t.dims[0].is_constant()) constant_extent(operand, 0);
  return t;
}

const ValueType& ShapeRule::expect_logits(size_t operand) const {
  const ValueType& t = type(operand);
  if (t.dims.size() != 2 || t.dtype != DType::fp32) fail_operand(operand, "fp32 [R, V]");
  constant_extent(operand, 1);
  return t;
}

const ValueType& ShapeRule::expect_list(size_t operand, DType dtype) const {
  const ValueType& t = type(operand);
  if (t.dims.size() != 1 || t.dtype != dtype)
    fail_operand(operand, fmt::format("a vector of {}", veloz::to_string(dtype)));
  return t;
}

void ShapeRule::expect_offsets(size_t operand, const Dim& rows) const {
  if (!rows.is_constant()) fail("rows of logits are symbolic, expected a constant number");
  expect_type(operand, {DType::int32, {rows.value + 1}}, "one per row of logits, and the end");
}

void ShapeRule::expect_type(size_t operand, const ValueType& expected, std::string_view why) const {
  if (type(operand) != expected)
    fail_operand(operand, fmt::format("{} ({})", to_string(expected), why));
}

int64_t ShapeRule::constant_extent(size_t operand, size_t axis) const {
  const Dim& dim = type(operand).dims[axis];
  if (!dim.is_constant() || dim.value < 1 || dim.value > kMaxExtent)
    fail_operand(operand, fmt::format("a constant extent from 1 to 2^40 on axis {}", axis));
  return dim.value;
}

int64_t ShapeRule::int_attr(std::string_view name, int64_t min, int64_t max) const {
  const int64_t value = read([&] { return signature_.attrs.get_int(name); });
  if (value < min || value > max)
    fail(fmt::format("attribute {}={}, expected {} to {}", name, value, min, max));
  return value;
}

double ShapeRule::float_attr(std::string_view name) const {
  const double value = read([&] { return signature_.attrs.get_float(name); });
  if (!std::isfinite(value))
    fail(fmt::format("attribute {}={}, expected a finite number", name, value));
  return value;
}

double ShapeRule::positive_attr(std::string_view name) const {
  const double value = float_attr(name);
  if (value <= 0) fail(fmt::format("attribute {}={}, expected a number above 0", name, value));
  return value;
}

std::string ShapeRule::choice_attr(std::string_view name,
                                   std::initializer_list<std::string_view> choices) const {
  std::string value = read([&] { return signature_.attrs.get_string(name); });
  if (std::ranges::find(choices, value) == choices.end())
    fail(fmt::format("attribute {}=\"{}\", expected one of {}", name, value.substr(0, 40),
                     fmt::join(choices, ", ")));
  return value;
}

double operand_bytes(const OpCall& call) {
  double bytes = 0;
  for (const TensorView& view : call.inputs) bytes += static_cast<double>(view.num_bytes());
  for (const TensorView& view : call.outputs) bytes += static_cast<double>(view.num_bytes());
  return bytes;
}

double unit_roundoff(DType dtype) {
  switch (dtype) {
    case DType::fp32:
      return 0x1p-24;
    case DType::fp16:
      return 0x1p-11;
    case DType::bf16:
      return 0x1p-8;
    case DType::fp8_e4m3:
      return 0x1p-4;
    case DType::int64:
    case DType::int32:
    case DType::int8:
    case DType::uint8:
    case DType::uint4x2:
      return 0;
  }
  return 0;
}

}  // namespace veloz::ops
