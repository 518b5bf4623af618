// SPDX-License-Identifier: Apache-2.0
#include "ops/kernel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace veloz::ops {
namespace {

std::string describe(const KernelQuery& query) {
  const auto list = [](std::span<const ValueType> types) {
    std::string text;
    for (const ValueType& type : types) text += (text.empty() ? "" : ", ") + to_string(type);
    return text;
  };
  std::string text = fmt::format("{}({}) -> {}{}", op_def(query.op).name, list(query.inputs),
                                 list(query.outputs), to_string(query.attrs));
  if (!query.weight_layout.empty())
    text += fmt::format(" with its weight in layout \"{}\"", query.weight_layout);
  return text;
}

bool reference_accepts(const KernelQuery& query) {
  if (!query.weight_layout.empty() && query.weight_layout != "plain") return false;
  try {
    const std::vector<ValueType> types =
        op_def(query.op).infer({.inputs = query.inputs, .attrs = query.attrs});
    return std::ranges::equal(types, query.outputs);
  } catch (const Error&) {
    return false;
  }
}

size_t row_bytes(DType dtype, const Shape& shape) {
  size_t elements = 1;
  for (size_t axis = 1; axis < shape.rank(); ++axis) elements *= static_cast<size_t>(shape[axis]);
  return elements * dtype_bytes(dtype);
}

template <DType dtype>
size_t plain_bytes(const Shape& shape) {
  return static_cast<size_t>(shape.num_elements()) * dtype_bytes(dtype);
}
template <DType dtype>
size_t plain_offset(const Shape& shape, int64_t row_begin) {
  return static_cast<size_t>(row_begin) * row_bytes(dtype, shape);
}
void copy_plain(const PackRange& range, const std::byte* from, std::byte* to) {
  std::memcpy(
      to, from,
      static_cast<size_t>(range.row_end - range.row_begin) * row_bytes(range.dtype, range.shape));
}

template <DType dtype>
WeightLayout plain_layout() {
  return {.name = "plain",
          .dtype = dtype,
          .row_granularity = 1,
          .packed_bytes = plain_bytes<dtype>,
          .packed_offset = plain_offset<dtype>,
          .pack = copy_plain,
          .unpack = copy_plain};
}

}  // namespace

KernelRegistry::KernelRegistry(std::vector<Kernel> kernels, std::vector<WeightLayout> layouts)
    : kernels_(std::move(kernels)), layouts_(std::move(layouts)) {}

KernelRegistry KernelRegistry::with_foreign_layouts(std::vector<WeightLayout> layouts) const {
  KernelRegistry registry = *this;
  registry.foreign_layouts_ = std::move(layouts);
  return registry;
}

const Kernel& KernelRegistry::choose(const KernelQuery& query) const {
  for (const Kernel& kernel : kernels_)
    if (kernel.op == query.op && kernel.accepts(query)) return kernel;
  throw Error(ErrorKind::unsupported, fmt::format("no kernel runs {}", describe(query)),
              "build the engine for this machine");
}

const WeightLayout& KernelRegistry::layout(std::string_view name, DType dtype) const {
  std::string known;
  for (const std::vector<WeightLayout>* layouts : {&layouts_, &foreign_layouts_}) {
    for (const WeightLayout& layout : *layouts) {
      if (layout.name == name && layout.dtype == dtype) return layout;
      known += fmt::format("{}{} of {}", known.empty() ? "" : ", ", layout.name,
                           veloz::to_string(layout.dtype));
    }
  }
  throw Error(ErrorKind::unsupported,
              fmt::format("unknown weight layout \"{}\" of {}, known are {}", name.substr(0, 80),
                          veloz::to_string(dtype), known),
              "build the engine again with this version of veloz");
}

std::vector<Kernel> reference_kernels() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const OpDef& def : op_defs()) names.push_back(fmt::format("{}/reference", def.name));
    return names;
  }();
  std::vector<Kernel> kernels;
  for (const OpDef& def : op_defs()) {
    if (def.reference == nullptr) continue;
    kernels.push_back({.name = kNames[static_cast<size_t>(def.op)],
                       .op = def.op,
                       .accepts = reference_accepts,
                       .run = def.reference,
                       .workspace_bytes = def.workspace_bytes});
  }
  return kernels;
}

std::vector<WeightLayout> plain_layouts() {
  return {plain_layout<DType::fp32>(),     plain_layout<DType::bf16>(),
          plain_layout<DType::fp16>(),     plain_layout<DType::int32>(),
          plain_layout<DType::int8>(),     plain_layout<DType::uint8>(),
          plain_layout<DType::fp8_e4m3>(), plain_layout<DType::uint4x2>()};
}

}  // namespace veloz::ops
