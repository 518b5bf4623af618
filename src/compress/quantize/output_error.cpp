// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/output_error.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/fp8.h"
#include "compress/quantize/packed_matrix.h"
#include "ops/quantize.h"

namespace veloz::compress {
namespace {

float number_of(uint8_t code, DType format) {
  if (format == DType::int8) return static_cast<float>(static_cast<int8_t>(code));
  Fp8E4M3 value;
  value.bits = code;
  return static_cast<float>(value);
}

}  // namespace

Matrix round_activations(const Matrix& x, const ActivationFormat& format) {
  const float limit = format.dtype == DType::int8 ? ops::kInt8Limit : Fp8E4M3::kMax;
  Matrix rounded(x.rows, x.columns);
  for (int64_t t = 0; t < x.rows; ++t) {
    float amax = 0;
    for (int64_t k = 0; k < x.columns; ++k) amax = std::max(amax, std::abs(x.row(t)[k]));
    ops::GroupScale scale = ops::group_scale(amax, limit);
    if (format.fixed_scale) scale = {*format.fixed_scale, 1.0f / *format.fixed_scale};
    for (int64_t k = 0; k < x.columns; ++k)
      rounded.row(t)[k] =
          scale.inverse == 0
              ? 0
              : number_of(ops::quantize_value(x.row(t)[k], scale.inverse, format.dtype),
                          format.dtype) *
                    scale.scale;
  }
  return rounded;
}

OutputError& OutputError::operator+=(const OutputError& other) {
  signal += other.signal;
  noise += other.noise;
  return *this;
}

Matrix multiply(const Matrix& x, const Matrix& w, const Machine& machine) {
  Matrix y(x.rows, w.rows);
  PackedMatrix(w.view(), machine).multiply(x.view(), {}, y.view());
  return y;
}

OutputError output_error(const Matrix& expected, const Matrix& approximate_x,
                         const Matrix& approximate_w, const Machine& machine) {
  const Matrix actual = multiply(approximate_x, approximate_w, machine);
  OutputError error;
  for (size_t i = 0; i < expected.values.size(); ++i) {
    const auto want = static_cast<double>(expected.values[i]);
    const double off = want - static_cast<double>(actual.values[i]);
    error.signal += want * want;
    error.noise += off * off;
  }
  return error;
}

}  // namespace veloz::compress
