// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "base/numeric.h"
#include "bench/harness.h"
#include "bench/workspace.h"

namespace veloz::bench {
namespace {

struct Format {
  std::string_view name;
  ops::Op op;
  DType x;
  DType w;
  DType scales;
  int64_t group;  // 0: a whole row
  cpu::PeakLoop loop;
};
constexpr Format kFormats[] = {
    {"int8", ops::Op::quantized_linear, DType::int8, DType::int8, DType::fp32, 0,
     cpu::PeakLoop::int8_dot},
    {"fp8", ops::Op::quantized_linear, DType::fp8_e4m3, DType::fp8_e4m3, DType::fp32, 0,
     cpu::PeakLoop::bf16_dot},
    {"fp8_g128", ops::Op::quantized_linear, DType::fp8_e4m3, DType::fp8_e4m3, DType::fp32, 128,
     cpu::PeakLoop::bf16_dot},
    {"w4a8_g32", ops::Op::quantized_linear, DType::int8, DType::uint4x2, DType::bf16, 32,
     cpu::PeakLoop::int8_dot},
    {"w4a8_g128", ops::Op::quantized_linear, DType::int8, DType::uint4x2, DType::bf16, 128,
     cpu::PeakLoop::int8_dot},
    {"w4a16_g32", ops::Op::weight_only_linear, DType::bf16, DType::uint4x2, DType::bf16, 32,
     cpu::PeakLoop::bf16_dot},
    {"w8a16_int8", ops::Op::weight_only_linear, DType::bf16, DType::int8, DType::fp32, 0,
     cpu::PeakLoop::bf16_dot},
    {"w8a16_fp8", ops::Op::weight_only_linear, DType::bf16, DType::fp8_e4m3, DType::fp32, 0,
     cpu::PeakLoop::bf16_dot},
};

struct LinearShape {
  std::string_view name;
  int64_t n;
  int64_t k;
};
/// The largest and the longest of a Llama of 1.1 billion weights (bench/linear_bench.cpp).
constexpr LinearShape kShapes[] = {
    {"o", 2048, 2048}, {"gate_up", 11264, 2048}, {"down", 2048, 5632}};
constexpr int64_t kRows[] = {1, 4, 16, 64, 512};

int64_t row_elements(DType dtype, int64_t k) { return dtype == DType::uint4x2 ? k / 2 : k; }

/// One linear on successive weights in the arena, so that none is still in a cache. The arena's
/// bytes are any codes and, as bf16 or fp32, finite scales.
class QuantizedRun {
 public:
  QuantizedRun(Machine& machine, const Format& format, const LinearShape& shape, int64_t m)
      : machine_(machine),
        format_(format),
        m_(m),
        n_(shape.n),
        k_(shape.k),
        w_shape_{n_, row_elements(format.w, k_)},
        scales_shape_{n_, format.group == 0 ? 1 : k_ / format.group},
        num_x_groups_(format.w == DType::fp8_e4m3 ? scales_shape_[1] : 1),
        kernel_(choose()),
        w_layout_(machine.registry().layout(layout_, format.w)),
        scales_layout_(machine.registry().layout(w_layout_.companion, format.scales)),
        scales_at_(round_up(w_layout_.packed_bytes(w_shape_), size_t{64})),
        weight_bytes_(scales_at_ +
                      round_up(scales_layout_.packed_bytes(scales_shape_), size_t{64})),
        x_(static_cast<size_t>(m * k_) * dtype_bytes(format.x)),
        x_scales_(static_cast<size_t>(m * num_x_groups_), 0.01f),
        y_(static_cast<size_t>(m * n_)) {
    fill_x();
    inputs_ = {TensorView(x_.data(), format.x, {m, k_})};
    if (format.op == ops::Op::quantized_linear)
      inputs_.emplace_back(x_scales_.data(), DType::fp32, Shape{m, num_x_groups_});
    weight_at_ = inputs_.size();
    inputs_.resize(weight_at_ + 2);
    outputs_ = {TensorView(y_.data(), DType::bf16, {m, n_})};
    set_weight(0);
    if (kernel_.workspace_bytes != nullptr)
      workspace_ = Workspace(kernel_.workspace_bytes(call(), machine.pool().num_threads()));
  }

  std::string_view kernel_name() const { return kernel_.name; }
  size_t weight_bytes() const { return weight_bytes_; }
  size_t num_weights() const { return machine_.arena().size() / weight_bytes_; }

  void run(int64_t i) {
    set_weight(static_cast<size_t>(i) % num_weights());
    ops::OpContext context{.pool = &machine_.pool(), .workspace = workspace_.span()};
    kernel_.run(context, call());
  }

  /// Some rows of some panels against the op's reference.
  std::string check() {
    run(0);
    for (int64_t sample = 0; sample < 8; ++sample) {
      const std::string wrong =
          check_panel(sample * 7 % m_, (n_ / kChannels - 1) * sample / 7 * kChannels);
      if (!wrong.empty()) return wrong;
    }
    return {};
  }

 private:
  static constexpr int64_t kChannels = 16;

  ops::Attrs attrs() const {
    if (format_.op == ops::Op::weight_only_linear) return {};
    return {{"out", std::string("bf16")}};
  }

  /// The best kernel of all layouts, as the compiler would choose.
  const ops::Kernel& choose() {
    attrs_ = attrs();
    std::vector<ops::ValueType> inputs = {{format_.x, {m_, k_}}};
    if (format_.op == ops::Op::quantized_linear)
      inputs.push_back({DType::fp32, {m_, num_x_groups_}});
    inputs.push_back({format_.w, {n_, w_shape_[1]}});
    inputs.push_back({format_.scales, {n_, scales_shape_[1]}});
    const std::vector<ops::ValueType> outputs = {{DType::bf16, {m_, n_}}};
    for (const ops::Kernel& kernel : machine_.registry().kernels())
      for (const ops::WeightLayout& layout : machine_.registry().layouts()) {
        layout_ = layout.name;
        if (kernel.op == format_.op && layout.dtype == format_.w &&
            kernel.accepts({kernel.op, inputs, outputs, attrs_, layout_}))
          return kernel;
      }
    return machine_.registry().choose({format_.op, inputs, outputs, attrs_, "plain"});
  }

  void fill_x() {
    for (int64_t i = 0; i < m_ * k_; ++i) {
      const auto value = static_cast<int8_t>(i * 7919 % 255 - 127);
      if (format_.x == DType::bf16) {
        const BFloat16 element(static_cast<float>(value) / 128.0f);
        std::memcpy(x_.data() + 2 * i, &element, sizeof(element));
      } else {
        const auto code = static_cast<int8_t>(format_.x == DType::fp8_e4m3 ? value & 0x77 : value);
        std::memcpy(x_.data() + i, &code, sizeof(code));  // no NaN among those of fp8
      }
    }
  }

  void set_weight(size_t idx) {
    std::byte* const at = machine_.arena().data() + idx * weight_bytes_;
    inputs_[weight_at_] = TensorView(at, format_.w, w_shape_);
    inputs_[weight_at_ + 1] = TensorView(at + scales_at_, format_.scales, scales_shape_);
  }

  ops::OpCall call() const { return {.inputs = inputs_, .outputs = outputs_, .attrs = attrs_}; }

  std::string check_panel(int64_t row, int64_t channel) {
    std::vector<std::byte> w(static_cast<size_t>(kChannels * w_shape_[1]) * dtype_bytes(format_.w));
    std::vector<std::byte> scales(static_cast<size_t>(kChannels * scales_shape_[1]) *
                                  dtype_bytes(format_.scales));
    unpack(w_layout_, format_.w, w_shape_, channel, inputs_[weight_at_], w);
    unpack(scales_layout_, format_.scales, scales_shape_, channel, inputs_[weight_at_ + 1], scales);
    std::vector<TensorView> inputs;
    for (size_t i = 0; i < weight_at_; ++i)
      inputs.emplace_back(
          inputs_[i].as<std::byte>() +
              row * inputs_[i].row_stride * static_cast<int64_t>(dtype_bytes(inputs_[i].dtype)),
          inputs_[i].dtype, Shape{1, inputs_[i].shape[1]});
    inputs.emplace_back(w.data(), format_.w, Shape{kChannels, w_shape_[1]});
    inputs.emplace_back(scales.data(), format_.scales, Shape{kChannels, scales_shape_[1]});
    std::vector<BFloat16> want(kChannels);
    const std::vector<TensorView> outputs = {TensorView(want.data(), DType::bf16, {1, kChannels})};
    const ops::OpCall reference{.inputs = inputs, .outputs = outputs, .attrs = attrs_};
    ops::OpContext context;
    const ops::OpDef& def = ops::op_def(format_.op);
    def.reference(context, reference);
    for (int64_t i = 0; i < kChannels; ++i) {
      const auto expected = static_cast<float>(want[static_cast<size_t>(i)]);
      const auto got = static_cast<float>(outputs_[0].row<const BFloat16>(row)[channel + i]);
      if (!(std::abs(got - expected) <= def.tolerance(reference, 0, 0, i)))
        return fmt::format("y[{}, {}] is {}, expected {}", row, channel + i, got, expected);
    }
    return {};
  }

  static void unpack(const ops::WeightLayout& layout, DType dtype, const Shape& shape,
                     int64_t channel, const TensorView& packed, std::vector<std::byte>& plain) {
    layout.unpack({dtype, shape, channel, channel + kChannels},
                  packed.as<const std::byte>() + layout.packed_offset(shape, channel),
                  plain.data());
  }

  Machine& machine_;
  const Format& format_;
  const int64_t m_, n_, k_;
  Shape w_shape_, scales_shape_;
  const int64_t num_x_groups_;
  ops::Attrs attrs_;
  std::string_view layout_;
  const ops::Kernel& kernel_;
  const ops::WeightLayout& w_layout_;
  const ops::WeightLayout& scales_layout_;
  const size_t scales_at_;
  const size_t weight_bytes_;
  std::vector<std::byte> x_;
  std::vector<float> x_scales_;
  std::vector<BFloat16> y_;
  size_t weight_at_ = 0;  // in inputs_
  std::vector<TensorView> inputs_, outputs_;
  Workspace workspace_;
};

Case make_case(Machine& machine, const Format& format, const LinearShape& shape, int64_t m) {
  // Built when it is checked, gone when the next one is.
  auto run = std::make_shared<std::unique_ptr<QuantizedRun>>();
  const QuantizedRun built(machine, format, shape, m);
  // Few rows: at least 256 MiB of weights per run, and none of them twice in a row.
  const size_t calls =
      m >= 64 ? 1 : std::min(built.num_weights(), (size_t{256} << 20) / built.weight_bytes() + 1);
  return {.bench = fmt::format("{}_{}", format.name, shape.name),
          .shape = fmt::format("m={} n={} k={}", m, shape.n, shape.k),
          .kernel = std::string(built.kernel_name()),
          .flops = 2.0 * static_cast<double>(m * shape.n * shape.k),
          .loop = format.loop,
          .bytes = static_cast<double>(built.weight_bytes()) +
                   static_cast<double>(m) *
                       static_cast<double>(2 * shape.n +
                                           shape.k * static_cast<int64_t>(dtype_bytes(format.x))),
          .calls = static_cast<int64_t>(calls),
          .run = [run](int64_t call) { (*run)->run(call); },
          .check =
              [run, &machine, &format, &shape, m] {
                run->reset();
                *run = std::make_unique<QuantizedRun>(machine, format, shape, m);
                return (*run)->check();
              }};
}

}  // namespace

std::vector<Case> quantized_linear_cases(Machine& machine) {
  std::vector<Case> cases;
  for (const Format& format : kFormats)
    for (const int64_t m : kRows)
      for (const LinearShape& shape : kShapes)
        cases.push_back(make_case(machine, format, shape, m));
  return cases;
}

}  // namespace veloz::bench
