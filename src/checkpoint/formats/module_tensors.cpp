// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/module_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "checkpoint/convert.h"

namespace veloz::checkpoint {
namespace {

std::string listed(std::initializer_list<DType> dtypes) {
  std::vector<std::string_view> names;
  for (const DType dtype : dtypes) names.push_back(to_string(dtype));
  return fmt::format("{}", fmt::join(names, ", "));
}

void check_scale(std::string_view tensor, float scale, int64_t row, int64_t column,
                 bool may_be_negative) {
  if (std::isfinite(scale) && (scale > 0 || (may_be_negative && scale < 0))) return;
  throw Error(
      ErrorKind::corrupt_data,
      fmt::format("tensor \"{}\" holds {} at [{}, {}], a scale must be a {}", tensor, scale, row,
                  column, may_be_negative ? "number other than 0" : "positive number"),
      "the checkpoint is damaged, or its quantization went wrong; fetch it again or quantize anew");
}

}  // namespace

TensorInfo ModuleTensors::require(std::string_view part,
                                  std::initializer_list<DType> dtypes) const {
  const std::optional<TensorInfo> info = find(part);
  if (!info)
    throw Error(ErrorKind::not_found,
                fmt::format("tensor \"{}\" is missing from the checkpoint", name(part)),
                "the module is quantized and cannot be read without it; the checkpoint is "
                "incomplete or of another format than its quantization config says");
  if (std::ranges::find(dtypes, info->dtype) == dtypes.end())
    throw Error(ErrorKind::invalid_input,
                fmt::format("tensor \"{}\" has dtype {}, its format has {}", name(part),
                            to_string(info->dtype), listed(dtypes)),
                "tensors and quantization config disagree; check that both come from the same "
                "revision");
  return *info;
}

TensorInfo ModuleTensors::require(std::string_view part, std::initializer_list<DType> dtypes,
                                  const Shape& shape) const {
  const TensorInfo info = require(part, dtypes);
  if (info.shape != shape) refuse_shape(part, info.shape, to_string(shape));
  return info;
}

void ModuleTensors::refuse_shape(std::string_view part, const Shape& shape,
                                 const std::string& wanted) const {
  throw Error(ErrorKind::invalid_input,
              fmt::format("tensor \"{}\" has shape {}, it must be {}", name(part), to_string(shape),
                          wanted),
              "the tensors of the module, or they and the quantization config (bits, group size), "
              "disagree");
}

std::vector<int32_t> ModuleTensors::read_int32s(std::string_view part) const {
  const TensorInfo info = require(part, {DType::int32});
  std::vector<int32_t> values(static_cast<size_t>(info.shape.num_elements()));
  files_->read_rows(name(part), 0, info.shape.rank() == 0 ? 1 : info.shape[0],
                    std::as_writable_bytes(std::span(values)));
  return values;
}

double ModuleTensors::read_scale(std::string_view part) const {
  const TensorInfo info = require(part, {DType::fp32, DType::bf16, DType::fp16});
  if (info.shape.num_elements() != 1) refuse_shape(part, info.shape, "a single number");
  std::vector<std::byte> bytes(dtype_bytes(info.dtype));
  files_->read_rows(name(part), 0, 1, bytes);
  const float scale = to_fp32(info.dtype, bytes)[0];
  check_scale(name(part), scale, 0, 0, /*may_be_negative=*/false);
  return scale;
}

std::vector<float> to_fp32(DType dtype, std::span<const std::byte> elements) {
  std::vector<float> values(elements.size() / dtype_bytes(dtype));
  convert(dtype, elements, DType::fp32, std::as_writable_bytes(std::span(values)));
  return values;
}

void check_scales(std::string_view tensor, DType codes, DType dtype,
                  std::span<const std::byte> scales, int64_t row_begin, int64_t num_columns) {
  const std::vector<float> values = to_fp32(dtype, scales);
  for (size_t i = 0; i < values.size(); ++i)
    check_scale(tensor, values[i], row_begin + static_cast<int64_t>(i) / num_columns,
                static_cast<int64_t>(i) % num_columns, codes != DType::fp8_e4m3);
}

}  // namespace veloz::checkpoint
