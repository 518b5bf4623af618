// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "bench/harness.h"
#include "bench/workspace.h"
#include "cpu/layouts.h"
#include "ops/linear.h"

namespace veloz::bench {
namespace {

struct LinearShape {
  std::string_view name;
  int64_t n;
  int64_t k;
};
/// Those of a Llama of 1.1 billion weights: 2048 wide, 32 heads on 4, ffn 5632, 32000 tokens.
constexpr LinearShape kShapes[] = {{"qkv", 2560, 2048},
                                   {"o", 2048, 2048},
                                   {"gate_up", 11264, 2048},
                                   {"down", 2048, 5632},
                                   {"lm_head", 32000, 2048}};
constexpr int64_t kRows[] = {1, 4, 16, 64, 512};

/// One linear on successive weights in the arena, so that none is still in a cache.
class LinearRun {
 public:
  LinearRun(Machine& machine, const LinearShape& shape, int64_t m)
      : machine_(machine),
        layout_(machine.registry().layout(cpu::kLayoutBf16, DType::bf16)),
        w_shape_{shape.n, shape.k},
        weight_bytes_(layout_.packed_bytes(w_shape_)),
        num_weights_(machine.arena().size() / weight_bytes_),
        x_(static_cast<size_t>(m * shape.k)),
        y_(static_cast<size_t>(m * shape.n)),
        types_{{DType::bf16, {m, shape.k}},
               {DType::bf16, {shape.n, shape.k}},
               {DType::bf16, {m, shape.n}}},
        kernel_(machine.registry().choose({ops::Op::linear, std::span(types_).first(2),
                                           std::span(types_).last(1), attrs_, cpu::kLayoutBf16})) {
    for (size_t i = 0; i < x_.size(); ++i)
      x_[i] = BFloat16(static_cast<float>(static_cast<int>(i * 7919 % 255) - 127) / 128.0f);
    inputs_ = {TensorView(x_.data(), DType::bf16, {m, shape.k}), TensorView()};
    outputs_ = {TensorView(y_.data(), DType::bf16, {m, shape.n})};
    run(0);  // sets the weight, which the workspace's size may depend on
  }

  std::string_view kernel_name() const { return kernel_.name; }
  size_t weight_bytes() const { return weight_bytes_; }
  size_t num_weights() const { return num_weights_; }

  void run(int64_t call) {
    const size_t at = static_cast<size_t>(call) % num_weights_ * weight_bytes_;
    inputs_[1] = TensorView(machine_.arena().data() + at, DType::bf16, w_shape_);
    const ops::OpCall op_call{.inputs = inputs_, .outputs = outputs_, .attrs = attrs_};
    if (workspace_.span().empty() && kernel_.workspace_bytes != nullptr)
      workspace_ = Workspace(kernel_.workspace_bytes(op_call, machine_.pool().num_threads()));
    ops::OpContext context{.pool = &machine_.pool(), .workspace = workspace_.span()};
    kernel_.run(context, op_call);
  }

  /// A sample of the outputs against sums in fp64.
  std::string check() {
    run(0);
    const int64_t m = outputs_[0].shape[0], n = w_shape_[0], k = w_shape_[1];
    std::vector<BFloat16> panel(static_cast<size_t>(layout_.row_granularity * k));
    for (int64_t sample = 0; sample < 32; ++sample) {
      const int64_t row = sample * 7 % m;
      const int64_t panel_begin =
          (n / layout_.row_granularity - 1) * sample / 31 * layout_.row_granularity;
      const int64_t lane = sample % layout_.row_granularity;
      layout_.unpack({DType::bf16, w_shape_, panel_begin, panel_begin + layout_.row_granularity},
                     machine_.arena().data() + layout_.packed_offset(w_shape_, panel_begin),
                     reinterpret_cast<std::byte*>(panel.data()));
      double sum = 0, magnitude = 0;
      for (int64_t i = 0; i < k; ++i) {
        const double product =
            static_cast<double>(static_cast<float>(x_[static_cast<size_t>(row * k + i)])) *
            static_cast<float>(panel[static_cast<size_t>(lane * k + i)]);
        sum += product;
        magnitude += std::abs(product);
      }
      const double got = static_cast<float>(y_[static_cast<size_t>(row * n + panel_begin + lane)]);
      if (!(std::abs(got - sum) <= 0x1p-8 * std::abs(sum) + 0x1p-18 * magnitude))
        return fmt::format("y[{}, {}] is {}, expected {}", row, panel_begin + lane, got, sum);
    }
    return {};
  }

 private:
  Machine& machine_;
  const ops::WeightLayout& layout_;
  Shape w_shape_;
  size_t weight_bytes_;
  size_t num_weights_;
  std::vector<BFloat16> x_, y_;
  ops::Attrs attrs_;
  std::vector<ops::ValueType> types_;
  const ops::Kernel& kernel_;
  std::vector<TensorView> inputs_, outputs_;
  Workspace workspace_;
};

}  // namespace

std::vector<Case> linear_cases(Machine& machine) {
  std::vector<Case> cases;
  for (const int64_t m : kRows)
    for (const LinearShape& shape : kShapes) {
      // Built when it is checked, gone when the next one is.
      auto run = std::make_shared<std::unique_ptr<LinearRun>>();
      const auto built = std::make_unique<LinearRun>(machine, shape, m);
      const double flops = 2.0 * static_cast<double>(m * shape.n * shape.k);
      // Few rows: at least 256 MiB of weights per run, and none of them twice in a row.
      const auto calls =
          m >= 64 ? int64_t{1}
                  : static_cast<int64_t>(std::min(built->num_weights(),
                                                  (size_t{256} << 20) / built->weight_bytes() + 1));
      cases.push_back({.bench = fmt::format("linear_{}", shape.name),
                       .shape = fmt::format("m={} n={} k={}", m, shape.n, shape.k),
                       .kernel = std::string(built->kernel_name()),
                       .flops = flops,
                       .loop = machine.has(cpu::PeakLoop::bf16_dot) &&
                                       built->kernel_name().find("dot") != std::string_view::npos
                                   ? cpu::PeakLoop::bf16_dot
                                   : cpu::PeakLoop::fp32_fma,
                       .bytes = static_cast<double>(built->weight_bytes()) +
                                2.0 * static_cast<double>(m * (shape.n + shape.k)),
                       .calls = calls,
                       .run = [run](int64_t call) { (*run)->run(call); },
                       .check =
                           [run, &machine, &shape, m] {
                             *run = std::make_unique<LinearRun>(machine, shape, m);
                             return (*run)->check();
                           }});
    }
  return cases;
}

}  // namespace veloz::bench
