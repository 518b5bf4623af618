// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cuda/cuda_runs.h"

/// Operands of the three linears, as the kernels of this back end take them: plain.
namespace veloz::cuda {

/// What a linear multiplies, and how it is quantized.
struct LinearSpec {
  ops::Op op = ops::Op::linear;
  DType x = DType::bf16;
  DType w = DType::bf16;
  DType scales = DType::fp32;  // of the weight
  int64_t group = 0;           // columns; 0: one group
  bool has_zeros = false;
  bool has_bias = false;
  bool to_fp32 = false;
  int64_t x_gap = 0;  // elements between rows
  int64_t y_gap = 0;
};

inline std::string to_text(const LinearSpec& spec) {
  return fmt::format("x {} w {} scales {} group {} zeros {} bias {} fp32 {} gaps {} {}",
                     to_string(spec.x), to_string(spec.w), to_string(spec.scales), spec.group,
                     spec.has_zeros, spec.has_bias, spec.to_fp32, spec.x_gap, spec.y_gap);
}

/// Random operands of a call y[t, n] over k columns.
class LinearCall {
 public:
  LinearCall(const LinearSpec& spec, int64_t t, int64_t n, int64_t k, uint64_t seed)
      : spec_(spec), seed_(seed), num_rows_(n) {
    const int64_t group = spec.group == 0 ? k : spec.group;
    const bool is_quantized = spec.op == ops::Op::quantized_linear;
    keep(random_codes(spec.x, t, k, seed, k + spec.x_gap));
    if (is_quantized)
      keep(test::random_tensor(DType::fp32, {t, spec.w == DType::uint4x2 ? 1 : k / group}, seed + 1,
                               {.low = 0.001, .high = 0.02}));
    keep(random_codes(spec.w, n, spec.w == DType::uint4x2 ? k / 2 : k, seed + 2, 0));
    if (spec.op != ops::Op::linear)
      keep(test::random_tensor(spec.scales, {n, k / group}, seed + 3, {.low = 0.01, .high = 0.1}));
    if (spec.has_zeros) {
      const bool is_packed = spec.w == DType::uint4x2;
      keep(test::random_tensor(is_packed ? DType::uint8 : DType::int8, {n, k / group}, seed + 4,
                               {.low = is_packed ? 0.0 : -20.0, .high = is_packed ? 16.0 : 20.0}));
      attrs_.set("zeros", int64_t{1});
    }
    if (spec.has_bias) keep(test::random_tensor(DType::fp32, {n}, seed + 5));
    if (is_quantized)
      attrs_.set("out", std::string(spec.to_fp32 ? "fp32" : "bf16"));
    else if (spec.to_fp32)
      attrs_.set("out", std::string("fp32"));
  }

  const std::vector<TensorView>& inputs() const { return inputs_; }
  const ops::Attrs& attrs() const { return attrs_; }
  const TensorView& x() const { return inputs_[0]; }
  uint64_t seed() const { return seed_; }
  DType y_dtype() const {
    if (spec_.to_fp32) return DType::fp32;
    return spec_.op == ops::Op::quantized_linear ? DType::bf16 : spec_.x;
  }
  test::OwnedTensor make_y(int64_t t) const {
    return test::OwnedTensor(y_dtype(), {t, num_rows_}, num_rows_ + spec_.y_gap);
  }
  /// The same call of rows [begin, end) of x alone.
  std::vector<TensorView> inputs_of_rows(int64_t begin, int64_t end) const {
    std::vector<TensorView> inputs = inputs_;
    inputs[0] = rows_of(inputs[0], begin, end);
    if (spec_.op == ops::Op::quantized_linear) inputs[1] = rows_of(inputs[1], begin, end);
    return inputs;
  }

  test::OwnedTensor run(const ops::Kernel& kernel) const {
    return run_rows(kernel, 0, x().shape[0]);
  }
  test::OwnedTensor run_rows(const ops::Kernel& kernel, int64_t begin, int64_t end) const {
    test::OwnedTensor y = make_y(end - begin);
    run_kernel(kernel, inputs_of_rows(begin, end), {y.view()}, attrs_);
    return y;
  }
  void expect_reference(const ops::Kernel& kernel) const {
    const auto want = test::run_reference(spec_.op, inputs_, attrs_);
    EXPECT_WITHIN_TOLERANCE(spec_.op, inputs_, want, 0, run(kernel).view(), attrs_, seed_)
        << kernel.name << ", " << to_text(spec_) << ", " << to_string(x().shape) << " by "
        << num_rows_ << " rows";
  }

 private:
  void keep(test::OwnedTensor tensor) {
    tensors_.push_back(std::move(tensor));
    inputs_.push_back(tensors_.back().view());
  }
  static test::OwnedTensor random_codes(DType dtype, int64_t rows, int64_t columns, uint64_t seed,
                                        int64_t row_stride) {
    double low = -1, high = 1;
    if (dtype == DType::int8) low = -128, high = 128;
    if (dtype == DType::fp8_e4m3) low = -448, high = 448;
    if (dtype == DType::uint4x2) low = 0, high = 256;
    return test::random_tensor(dtype, {rows, columns}, seed,
                               {.low = low, .high = high, .row_stride = row_stride});
  }

  LinearSpec spec_;
  uint64_t seed_;
  int64_t num_rows_;
  ops::Attrs attrs_;
  std::vector<test::OwnedTensor> tensors_;
  std::vector<TensorView> inputs_;
};

}  // namespace veloz::cuda
