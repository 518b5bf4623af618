// SPDX-License-Identifier: Apache-2.0
#include "api/step_checker.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>
#include <variant>

#include "api/kv_conversion.h"
#include "base/error.h"
#include "base/fp8.h"
#include "base/numeric.h"

namespace veloz::api {
namespace {

/// Bytes from the first element to the last one.
size_t spanned_bytes(const TensorView& view) {
  if (view.shape.num_elements() == 0) return 0;
  const int64_t rows = view.shape.rank() == 0 ? 1 : view.shape[0];
  return static_cast<size_t>((rows - 1) * view.row_stride +
                             TensorView::contiguous_row_stride(view.shape)) *
         dtype_bytes(view.dtype);
}

double element(const TensorView& view, int64_t row, int64_t column) {
  const int64_t i = row * view.row_stride + column;
  switch (view.dtype) {
    case DType::fp32:
      return static_cast<double>(view.as<const float>()[i]);
    case DType::fp16:
      return static_cast<double>(fp16_to_fp32(view.as<const uint16_t>()[i]));
    case DType::bf16:
      return static_cast<double>(static_cast<float>(view.as<const BFloat16>()[i]));
    case DType::fp8_e4m3:
      return static_cast<double>(static_cast<float>(view.as<const Fp8E4M3>()[i]));
    case DType::int64:
      return static_cast<double>(view.as<const int64_t>()[i]);
    case DType::int32:
      return view.as<const int32_t>()[i];
    case DType::int8:
      return view.as<const int8_t>()[i];
    case DType::uint8:
    case DType::uint4x2:
      break;
  }
  return view.as<const uint8_t>()[i];
}

/// Distance of `x` to the next number of the dtype.
double spacing(DType dtype, double x) {
  struct Format {
    int mantissa_bits, min_exponent;
  };
  const auto of = [x](Format format) {
    int exponent = 0;
    std::frexp(x, &exponent);
    const int least = format.min_exponent + 1;  // frexp's mantissa begins at 1/2
    return std::ldexp(1.0, (x == 0 ? least : std::max(exponent, least)) - 1 - format.mantissa_bits);
  };
  switch (dtype) {
    case DType::fp32:
      return of({23, -126});
    case DType::fp16:
      return of({10, -14});
    case DType::bf16:
      return of({7, -126});
    case DType::fp8_e4m3:
      return of({3, -6});
    default:
      return 1;
  }
}

/// The errors of a range of elements.
struct Errors {
  double abs = 0, rel = 0, ulp = 0, ratio = 0;
  int64_t num_outside = 0;

  void add(double actual, double reference, double tolerance, DType dtype) {
    if (std::isnan(actual) && std::isnan(reference)) return;
    if (actual == reference) return;  // infinities too
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const bool is_finite = std::isfinite(actual) && std::isfinite(reference);
    const double error = is_finite ? std::abs(actual - reference) : kInfinity;
    const double own = is_finite && tolerance > 0 ? error / tolerance : kInfinity;
    const double spacings = is_finite ? error / spacing(dtype, reference) : kInfinity;
    abs = std::max(abs, error);
    if (reference != 0) rel = std::max(rel, error / std::abs(reference));
    ulp = std::max(ulp, spacings);
    ratio = std::max(ratio, own);
    if (!(own <= 1)) ++num_outside;
  }
  void add(const Errors& other) {
    abs = std::max(abs, other.abs);
    rel = std::max(rel, other.rel);
    ulp = std::max(ulp, other.ulp);
    ratio = std::max(ratio, other.ratio);
    num_outside += other.num_outside;
  }
};

}  // namespace

StepChecker::StepChecker(const engine::Engine& engine, Backend& backend, runtime::Session& session)
    : program_(engine.plan().program("step")),
      plan_(engine.plan()),
      backend_(backend),
      session_(session),
      choice_(runtime::choose_kernels(plan_, program_, *backend.registry)) {}

bool StepChecker::is_cache(size_t value) const {
  const engine::PlanValue& v = program_.values[value];
  return std::holds_alternative<engine::StateSlot>(v.slot) && v.type.dims.size() == 5;
}

StepChecker::HostTensor StepChecker::download(const TensorView& view, size_t value) {
  HostTensor tensor;
  const auto* weight = std::get_if<engine::WeightSlot>(&program_.values[value].slot);
  const ops::WeightLayout* const layout =
      weight == nullptr ? nullptr : choice_.layouts[static_cast<size_t>(weight->weight)];
  std::vector<std::byte> bytes(layout == nullptr ? spanned_bytes(view)
                                                 : layout->packed_bytes(view.shape));
  session_.device().copy_out(session_.stream(), bytes.data(), view.data, bytes.size());
  session_.stream().synchronize();
  tensor.view = view;
  if (layout != nullptr && layout->name != "plain") {
    tensor.bytes.resize(view.num_bytes());
    layout->unpack({view.dtype, view.shape, 0, view.shape[0]}, bytes.data(), tensor.bytes.data());
  } else if (is_cache(value) && session_.device().kind() == DeviceKind::cuda) {
    tensor.bytes.resize(bytes.size());
    tensor.view.data = tensor.bytes.data();
    kv_from_plain(tensor.view, bytes.data());
  } else {
    tensor.bytes = std::move(bytes);
  }
  tensor.view.data = tensor.bytes.data();
  return tensor;
}

void StepChecker::upload(const HostTensor& tensor, const TensorView& view, size_t value) {
  std::vector<std::byte> plain;
  const std::byte* from = tensor.bytes.data();
  if (is_cache(value) && session_.device().kind() == DeviceKind::cuda) {
    plain.resize(tensor.bytes.size());
    kv_to_plain(tensor.view, plain.data());
    from = plain.data();
  }
  session_.device().copy_in(session_.stream(), view.data, from, tensor.bytes.size());
  session_.stream().synchronize();
}

void StepChecker::run_reference(const engine::PlanStep& step) {
  const ops::OpDef& def = ops::op_def(step.op);
  const ops::OpCall call{input_views_, output_views_, step.attrs};
  constexpr size_t kAlignment = 64;
  const size_t bytes = def.workspace_bytes == nullptr ? 0 : def.workspace_bytes(call, 1);
  std::vector<std::byte> memory(bytes + kAlignment);
  void* aligned = memory.data();
  size_t space = memory.size();
  std::align(kAlignment, bytes, aligned, space);
  ops::OpContext context{.pool = backend_.pool.get(),
                         .workspace = {static_cast<std::byte*>(aligned), bytes}};
  def.reference(context, call);
}

void StepChecker::on_step(size_t index, const ops::OpCall& call, bool is_done) {
  const engine::PlanStep& step = program_.steps[index];
  const auto value_of = [](const std::vector<int64_t>& values, size_t i) {
    return static_cast<size_t>(values[i]);
  };
  if (!is_done) {
    inputs_.clear();
    outputs_.clear();
    input_views_.clear();
    output_views_.clear();
    for (size_t i = 0; i < call.inputs.size(); ++i)
      inputs_.push_back(download(call.inputs[i], value_of(step.inputs, i)));
    // A state that is written keeps what it held elsewhere.
    for (size_t i = 0; i < call.outputs.size(); ++i)
      outputs_.push_back(download(call.outputs[i], value_of(step.outputs, i)));
    for (const HostTensor& tensor : inputs_) input_views_.push_back(tensor.view);
    for (const HostTensor& tensor : outputs_) output_views_.push_back(tensor.view);
    run_reference(step);
    return;
  }
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    const HostTensor actual = download(call.outputs[i], value_of(step.outputs, i));
    OutputCheck check = compare(step, i, actual.view);
    check.step = index;
    check.kernel = choice_.kernels[index]->name;
    checks_.push_back(std::move(check));
  }
  for (size_t i = 0; i < call.outputs.size(); ++i)
    upload(outputs_[i], call.outputs[i], value_of(step.outputs, i));
}

OutputCheck StepChecker::compare(const engine::PlanStep& step, size_t output,
                                 const TensorView& actual) {
  const ops::OpCall call{input_views_, output_views_, step.attrs};
  const auto tolerance = ops::op_def(step.op).tolerance;
  const TensorView& reference = output_views_[output];
  const int64_t columns = TensorView::contiguous_row_stride(reference.shape);
  Errors all;
  std::mutex mutex;
  constexpr int64_t kGrain = 256;  // a tolerance may take a sum over K
  backend_.pool->for_range(reference.shape.num_elements(), kGrain, [&](int64_t begin, int64_t end) {
    Errors errors;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / columns;
      const int64_t column = i % columns;
      const double is = element(actual, row, column);
      const double wanted = element(reference, row, column);
      if (is == wanted) continue;
      errors.add(is, wanted, tolerance == nullptr ? 0 : tolerance(call, output, row, column),
                 reference.dtype);
    }
    const std::scoped_lock lock(mutex);
    all.add(errors);
  });
  const engine::PlanValue& value = program_.values[static_cast<size_t>(step.outputs[output])];
  return {.phase = phase_,
          .op = step.op,
          .name = value.name,
          .kernel = {},
          .dtype = reference.dtype,
          .max_abs_error = all.abs,
          .max_rel_error = all.rel,
          .max_ulp = all.ulp,
          .worst_ratio = all.ratio,
          .num_outside = all.num_outside};
}

}  // namespace veloz::api
