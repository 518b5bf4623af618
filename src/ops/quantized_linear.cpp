// SPDX-License-Identifier: Apache-2.0
#include "ops/quantized_linear.h"

#include <cmath>

#include "base/error.h"
#include "base/fp8.h"
#include "ops/element.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

constexpr int64_t kMaxInt8Extent = 65536;
constexpr int64_t kGroupMultiple = 32;
constexpr float kUint4Zero = 8;

bool has_zeros(const Attrs& attrs) { return attrs.get_int_or("zeros", 0) != 0; }

/// Operands of both ops after x (and its scales): the weight at `first`, its scales, zeros, bias.
struct WeightOperands {
  Dim n;
  int64_t group;
  int64_t num_groups;
};

WeightOperands infer_weight(const ShapeRule& rule, const OpSignature& signature, size_t first,
                            int64_t k) {
  const ValueType& w = rule.type(first);
  const bool is_packed = w.dtype == DType::uint4x2;
  if (w.dims.size() != 2 || (w.dtype != DType::int8 && w.dtype != DType::fp8_e4m3 && !is_packed))
    rule.fail_operand(first, "a matrix of int8, fp8_e4m3 or uint4x2");
  if (is_packed && k % 2 != 0) rule.fail("x has an odd number of columns, uint4x2 holds pairs");
  const Dim n = rule.constant_extent(first, 0);
  rule.expect_type(first, {w.dtype, {n, is_packed ? k / 2 : k}}, "columns of x");

  const ValueType& scales = rule.type(first + 1);
  const bool is_scale =
      scales.dtype == DType::fp32 || scales.dtype == DType::bf16 || scales.dtype == DType::fp16;
  if (scales.dims.size() != 2 || !is_scale)
    rule.fail_operand(first + 1, "a matrix [N, G] of fp32, bf16 or fp16");
  const int64_t num_groups = rule.constant_extent(first + 1, 1);
  rule.expect_type(first + 1, {scales.dtype, {n, num_groups}}, "one row per row of w");
  if (k % num_groups != 0) rule.fail_operand(first + 1, "a number of groups that divides K");

  size_t next = first + 2;
  if (signature.attrs.contains("zeros") && rule.int_attr("zeros", 1, 1) == 1) {
    if (!rule.has(next)) rule.fail("attribute zeros without the operand w_zeros");
    if (w.dtype == DType::fp8_e4m3) rule.fail("fp8_e4m3 weights have no zeros");
    rule.expect_type(next, {is_packed ? DType::uint8 : DType::int8, {n, num_groups}},
                     "one per scale");
    ++next;
  }
  if (rule.has(next)) rule.expect_type(next++, {DType::fp32, {n}}, "one per row of w");
  if (rule.has(next)) rule.fail("operands after the bias");
  return {n, k / num_groups, num_groups};
}

std::vector<ValueType> infer_quantized(const OpSignature& signature) {
  const ShapeRule rule("quantized_linear", signature,
                       {"x", "x_scales", "w", "w_scales", "w_zeros", "bias"}, {"zeros", "out"}, 2);
  const ValueType& x = rule.type(0);
  if (x.dims.size() != 2 || (x.dtype != DType::int8 && x.dtype != DType::fp8_e4m3))
    rule.fail_operand(0, "a matrix of int8 or fp8_e4m3");
  const int64_t k = rule.constant_extent(0, 1);
  const ValueType& x_scales = rule.type(1);
  if (x_scales.dims.size() != 2) rule.fail_operand(1, "fp32 [T, G]");
  const int64_t x_groups = rule.constant_extent(1, 1);
  rule.expect_type(1, {DType::fp32, {x.dims[0], x_groups}}, "one row per row of x");

  const WeightOperands weight = infer_weight(rule, signature, 2, k);
  const DType w = rule.type(2).dtype;
  const DType scale = rule.type(3).dtype;
  const bool is_grouped = weight.num_groups > 1;
  if (is_grouped && weight.group % kGroupMultiple != 0)
    rule.fail_operand(3, "groups of a multiple of 32 columns");
  if (w != DType::uint4x2) {
    if (scale != DType::fp32) rule.fail_operand(3, "fp32");
    if (signature.attrs.contains("zeros")) rule.fail("attribute zeros with 8-bit weights");
    if (x.dtype != w) rule.fail_operand(2, "dtype of x, or uint4x2");
    if (x_groups != weight.num_groups) rule.fail_operand(1, "as many groups as w_scales");
    if (w == DType::int8 && is_grouped) rule.fail_operand(3, "one scale per row of int8 weights");
    if (w == DType::int8 && k > kMaxInt8Extent)
      rule.fail_operand(0, "at most 65536 columns: the sum of their products must fit 32 bits");
  } else {
    if (x.dtype != DType::int8) rule.fail_operand(0, "int8 with weights of uint4x2");
    if (x_groups != 1) rule.fail_operand(1, "one scale per row of x");
    if (weight.group % kGroupMultiple != 0)
      rule.fail_operand(3, "groups of a multiple of 32 columns");
  }
  const std::string out = rule.choice_attr("out", {"bf16", "fp32"});
  return {{out == "bf16" ? DType::bf16 : DType::fp32, {x.dims[0], weight.n}}};
}

std::vector<ValueType> infer_weight_only(const OpSignature& signature) {
  const ShapeRule rule("weight_only_linear", signature, {"x", "w", "w_scales", "w_zeros", "bias"},
                       {"zeros", "out"}, 2);
  const ValueType& x = rule.expect_matrix(0);
  const WeightOperands weight = infer_weight(rule, signature, 1, x.dims[1].value);
  if (!signature.attrs.contains("out")) return {{x.dtype, {x.dims[0], weight.n}}};
  rule.choice_attr("out", {"fp32"});
  return {{DType::fp32, {x.dims[0], weight.n}}};
}

template <typename Args>
Cost cost(const OpCall& call) {
  const Args a = Args::from(call);
  return {.flops = 2 * static_cast<double>(a.y.shape[0]) * static_cast<double>(a.y.shape[1]) *
                   static_cast<double>(a.x.shape[1]),
          .bytes = operand_bytes(call)};
}

float activation_code(const TensorView& x, int64_t t, int64_t k) {
  if (x.dtype == DType::int8) return x.row<const int8_t>(t)[k];
  return static_cast<float>(x.row<const Fp8E4M3>(t)[k]);
}

/// The sum of one output element, and of the magnitudes that went into it.
struct Sum {
  double value = 0;
  double magnitude = 0;
};

Sum sum_of(const QuantizedLinearArgs& a, int64_t t, int64_t n) {
  Sum total;
  for (int64_t g = 0; g < a.num_groups(); ++g) {
    const double zero = zero_element(a.w, a.w_zeros, n, g);
    double sum = 0, magnitude = 0;
    for (int64_t k = g * a.group(); k < (g + 1) * a.group(); ++k) {
      const double product = activation_code(a.x, t, k) * (weight_code(a.w, n, k) - zero);
      sum += product;
      magnitude += std::abs(product);
    }
    const float* const x_scales = a.x_scales.row<const float>(t);
    const double scale = static_cast<double>(x_scales[a.x_scales.shape[1] == 1 ? 0 : g]) *
                         scale_element(a.w_scales, n, g);
    total.value += scale * sum;
    total.magnitude += std::abs(scale) * magnitude;
  }
  if (a.bias.data != nullptr) {
    total.value += a.bias.as<const float>()[n];
    total.magnitude += std::abs(a.bias.as<const float>()[n]);
  }
  return total;
}

Sum sum_of(const WeightOnlyLinearArgs& a, int64_t t, int64_t n) {
  Sum total;
  for (int64_t k = 0; k < a.x.shape[1]; ++k) {
    const int64_t g = k / a.group();
    const float dequantized = (weight_code(a.w, n, k) - zero_element(a.w, a.w_zeros, n, g)) *
                              scale_element(a.w_scales, n, g);
    const float weight =
        a.x.dtype == DType::bf16 ? static_cast<float>(BFloat16(dequantized)) : dequantized;
    const double product = static_cast<double>(load_element(a.x, t, k)) * weight;
    total.value += product;
    total.magnitude += std::abs(product);
  }
  if (a.bias.data != nullptr) {
    total.value += a.bias.as<const float>()[n];
    total.magnitude += std::abs(a.bias.as<const float>()[n]);
  }
  return total;
}

template <typename Args>
void reference(OpContext&, const OpCall& call) noexcept {
  const Args a = Args::from(call);
  for (int64_t t = 0; t < a.y.shape[0]; ++t)
    for (int64_t n = 0; n < a.y.shape[1]; ++n)
      store_element(a.y, t, n, static_cast<float>(sum_of(a, t, n).value));
}

/// Hopper's tensor cores align the products of a step of fp8 codes to the largest, and the sum, and
/// keep some 13 bits (arXiv:2412.19437, section 3.3.2). On an H200 sums of slices of 128 were at
/// most 2^-12.7 of the sum of magnitudes off.
constexpr double kFp8SumRoundoff = 0x1p-12;

/// As for `linear`; of integer codes only the groups are summed in fp32, which is less.
template <typename Args>
double tolerance(const OpCall& call, size_t, int64_t t, int64_t n) {
  const Args a = Args::from(call);
  const auto k = static_cast<double>(a.x.shape[1]);
  double roundoff = 4 * std::sqrt(k) * unit_roundoff(DType::fp32);
  if (a.x.dtype == DType::fp8_e4m3) roundoff += kFp8SumRoundoff;
  return roundoff * sum_of(a, t, n).magnitude +
         2 * unit_roundoff(a.y.dtype) * std::abs(load_element(a.y, t, n));
}

template <typename Args>
OpDef linear_op(Op op, std::string_view name, std::vector<ValueType> (*infer)(const OpSignature&)) {
  return {.op = op,
          .name = name,
          .infer = infer,
          .cost = cost<Args>,
          .reference = reference<Args>,
          .tolerance = tolerance<Args>};
}

/// zeros and bias, where they are.
void read_optional(const OpCall& call, size_t next, TensorView& zeros, TensorView& bias) {
  if (has_zeros(call.attrs)) zeros = call.inputs[next++];
  if (next < call.inputs.size()) bias = call.inputs[next];
}

}  // namespace

float weight_code(const TensorView& w, int64_t n, int64_t k) {
  if (w.dtype == DType::int8) return w.row<const int8_t>(n)[k];
  if (w.dtype == DType::fp8_e4m3) return static_cast<float>(w.row<const Fp8E4M3>(n)[k]);
  const uint8_t pair = w.row<const uint8_t>(n)[k / 2];
  return static_cast<float>(k % 2 == 0 ? pair & 15 : pair >> 4);
}

float scale_element(const TensorView& scales, int64_t row, int64_t group) {
  if (scales.dtype == DType::fp16) return fp16_to_fp32(scales.row<const uint16_t>(row)[group]);
  return load_element(scales, row, group);
}

float zero_element(const TensorView& w, const TensorView& w_zeros, int64_t n, int64_t group) {
  if (w_zeros.data == nullptr) return w.dtype == DType::uint4x2 ? kUint4Zero : 0;
  if (w_zeros.dtype == DType::int8) return w_zeros.row<const int8_t>(n)[group];
  return w_zeros.row<const uint8_t>(n)[group];
}

QuantizedLinearArgs QuantizedLinearArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() >= 4 && call.outputs.size() == 1,
               "quantized_linear of {} operands", call.inputs.size());
  QuantizedLinearArgs args{.x = call.inputs[0],
                           .x_scales = call.inputs[1],
                           .w = call.inputs[2],
                           .w_scales = call.inputs[3],
                           .w_zeros = {},
                           .bias = {},
                           .y = call.outputs[0]};
  read_optional(call, 4, args.w_zeros, args.bias);
  return args;
}

WeightOnlyLinearArgs WeightOnlyLinearArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() >= 3 && call.outputs.size() == 1,
               "weight_only_linear of {} operands", call.inputs.size());
  WeightOnlyLinearArgs args{.x = call.inputs[0],
                            .w = call.inputs[1],
                            .w_scales = call.inputs[2],
                            .w_zeros = {},
                            .bias = {},
                            .y = call.outputs[0]};
  read_optional(call, 3, args.w_zeros, args.bias);
  return args;
}

OpDef quantized_linear_def() {
  return linear_op<QuantizedLinearArgs>(Op::quantized_linear, "quantized_linear", infer_quantized);
}

OpDef weight_only_linear_def() {
  return linear_op<WeightOnlyLinearArgs>(Op::weight_only_linear, "weight_only_linear",
                                         infer_weight_only);
}

}  // namespace veloz::ops
