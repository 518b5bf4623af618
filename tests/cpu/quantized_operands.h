// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "kernel_runs.h"

/// Operands of linears with quantized weights, plain for the reference and packed for kernels.
namespace veloz::cpu {

struct QuantizedWeightSpec {
  DType dtype = DType::uint4x2;
  int64_t n = 0;
  int64_t k = 0;
  int64_t group = 0;
  DType scales = DType::fp32;
  bool has_zeros = false;
  uint64_t seed = 0;
};

/// A random weight with its scales and zeros.
class QuantizedWeight {
 public:
  explicit QuantizedWeight(const QuantizedWeightSpec& spec)
      : spec_(spec),
        codes_(random_codes(spec)),
        scales_(test::random_tensor(spec.scales, {spec.n, spec.k / spec.group}, spec.seed + 101,
                                    {.low = 0.01, .high = 0.1})),
        zeros_(random_zeros(spec)) {}

  /// All codes, scales and zeros alike.
  struct Fill {
    uint8_t pair;
    float scale;
    uint8_t zero;
  };
  QuantizedWeight(const QuantizedWeightSpec& spec, const Fill& fill) : QuantizedWeight(spec) {
    std::memset(codes_.view().data, fill.pair, codes_.view().num_bytes());
    std::memset(zeros_.view().data, fill.zero, zeros_.view().num_bytes());
    for (int64_t i = 0; i < scales_.view().shape.num_elements(); ++i)
      test::set_element(scales_.view(), i, fill.scale);
  }

  bool has_zeros() const { return spec_.has_zeros; }
  int64_t num_channels() const { return spec_.n; }
  // Plain.
  const TensorView& codes() const { return codes_.view(); }
  const TensorView& scales() const { return scales_.view(); }
  TensorView zeros() const { return spec_.has_zeros ? zeros_.view() : TensorView(); }
  void set_scale(int64_t row, int64_t group, double value) {
    test::set_element(scales_.view(), row * scales_.view().shape[1] + group, value);
    packed_.clear();
  }

  std::vector<TensorView> plain_inputs(std::vector<TensorView> x,
                                       const test::OwnedTensor* bias = nullptr) const {
    x.push_back(codes_.view());
    x.push_back(scales_.view());
    if (spec_.has_zeros) x.push_back(zeros_.view());
    if (bias != nullptr) x.push_back(bias->view());
    return x;
  }

  /// An operand as a call has it, and all the bytes it has.
  struct Operand {
    TensorView view;
    TensorView bytes;
  };
  std::vector<Operand> packed_operands(const std::vector<TensorView>& x,
                                       const test::OwnedTensor* bias = nullptr) const {
    pack();
    std::vector<Operand> operands;
    for (const TensorView& view : x) operands.push_back({view, view});
    for (const PackedTensor& packed : packed_) operands.push_back({packed.view(), packed.bytes()});
    if (bias != nullptr) operands.push_back({bias->view(), bias->view()});
    return operands;
  }
  std::vector<TensorView> packed_inputs(const std::vector<TensorView>& x,
                                        const test::OwnedTensor* bias = nullptr) const {
    std::vector<TensorView> views;
    for (const Operand& operand : packed_operands(x, bias)) views.push_back(operand.view);
    return views;
  }

 private:
  static test::OwnedTensor random_codes(const QuantizedWeightSpec& spec) {
    if (spec.dtype == DType::uint4x2)
      return test::random_tensor(spec.dtype, {spec.n, spec.k / 2}, spec.seed + 100,
                                 {.low = 0, .high = 256});
    const double limit = spec.dtype == DType::int8 ? 128 : 448;
    return test::random_tensor(spec.dtype, {spec.n, spec.k}, spec.seed + 100,
                               {.low = -limit, .high = limit});
  }
  static test::OwnedTensor random_zeros(const QuantizedWeightSpec& spec) {
    const Shape shape{spec.n, spec.k / spec.group};
    if (spec.dtype == DType::int8)
      return test::random_tensor(DType::int8, shape, spec.seed + 102, {.low = -20, .high = 20});
    return test::random_tensor(DType::uint8, shape, spec.seed + 102, {.low = 0, .high = 16});
  }

  /// The weight in the first layout of its dtype, its companions as that says.
  void pack() const {
    if (!packed_.empty()) return;
    const ops::KernelRegistry registry = make_registry(Isa::portable);
    const auto layout =
        std::ranges::find(registry.layouts(), spec_.dtype, &ops::WeightLayout::dtype);
    packed_.emplace_back(codes_.view(), *layout);
    packed_.emplace_back(scales_.view(), registry.layout(layout->companion, spec_.scales));
    if (spec_.has_zeros)
      packed_.emplace_back(zeros_.view(), registry.layout(layout->companion, zeros_.view().dtype));
  }

  QuantizedWeightSpec spec_;
  test::OwnedTensor codes_, scales_, zeros_;
  mutable std::vector<PackedTensor> packed_;  // made when first asked for
};

/// Copies of operands, each of which ends where an unreadable page begins.
class GuardedCall {
 public:
  GuardedCall(const std::vector<QuantizedWeight::Operand>& operands, const TensorView& y) : y_(y) {
    for (const QuantizedWeight::Operand& operand : operands) {
      guarded_.push_back(std::make_unique<test::GuardedTensor>(operand.bytes));
      inputs_.emplace_back(guarded_.back()->view().data, operand.view.dtype, operand.view.shape,
                           operand.view.row_stride);
    }
  }
  const std::vector<TensorView>& inputs() const { return inputs_; }
  const TensorView& output() const { return y_.view(); }

 private:
  std::vector<std::unique_ptr<test::GuardedTensor>> guarded_;
  std::vector<TensorView> inputs_;
  test::GuardedTensor y_;
};

}  // namespace veloz::cpu
