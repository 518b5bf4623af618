// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/input_statistics.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "compress/quantize/packed_matrix.h"

namespace veloz::compress {
namespace {

constexpr int64_t kColumnGrain = 64;
// Rows of X^T X that are made at once: only columns up to the block's end are computed, so more
// blocks save more of the upper half, and each is packed once a batch.
constexpr int64_t kHessianBlock = 512;

Matrix transpose(const TensorView& x, ThreadPool& pool) {
  Matrix t(x.shape[1], x.shape[0]);
  pool.for_range(t.rows, kColumnGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < t.columns; ++i) {
      const float* const row = x.row<const float>(i);
      for (int64_t k = begin; k < end; ++k) t.row(k)[i] = row[k];
    }
  });
  return t;
}

}  // namespace

InputStatistics::InputStatistics(int64_t columns, int64_t num_tokens,
                                 const StatisticsWanted& wanted)
    : columns_(columns),
      num_tokens_(num_tokens),
      wanted_(wanted),
      amax_(static_cast<size_t>(columns)),
      sum_magnitude_(static_cast<size_t>(columns)),
      samples_(std::min(num_tokens, kMaxSamples), columns) {
  if (wanted.hessian) hessian_ = Matrix(columns, columns);
}

void InputStatistics::add(const TensorView& x, const Machine& machine) {
  VELOZ_CHECK(x.shape[1] == columns_ && num_added_ + x.shape[0] <= num_tokens_,
              "{} rows of {} columns, {} of {} are there of {}", x.shape[0], x.shape[1], num_added_,
              num_tokens_, columns_);
  add_magnitudes(x, machine);
  if (wanted_.histogram) histogram_.add(x);
  if (wanted_.hessian) add_hessian(x, machine);
  add_samples(x);
  num_added_ += x.shape[0];
}

void InputStatistics::add_magnitudes(const TensorView& x, const Machine& machine) {
  machine.pool.for_range(columns_, kColumnGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < x.shape[0]; ++t) {
      const float* const row = x.row<const float>(t);
      for (int64_t k = begin; k < end; ++k) {
        const float magnitude = std::abs(row[k]);
        // A NaN stays in the sum, which is_finite reads.
        amax_[static_cast<size_t>(k)] = std::max(amax_[static_cast<size_t>(k)], magnitude);
        sum_magnitude_[static_cast<size_t>(k)] += static_cast<double>(magnitude);
      }
    }
  });
}

void InputStatistics::add_samples(const TensorView& x) {
  for (int64_t t = 0; t < x.shape[0]; ++t) {
    const int64_t at = num_added_ + t;
    // Row `at` is taken where the count of samples that are due rises.
    if ((at + 1) * samples_.rows / num_tokens_ == at * samples_.rows / num_tokens_) continue;
    std::memcpy(samples_.row(num_samples_++), x.row<const float>(t),
                static_cast<size_t>(columns_) * sizeof(float));
  }
}

void InputStatistics::add_hessian(const TensorView& x, const Machine& machine) {
  const Matrix columns = transpose(x, machine.pool);  // [K, T]
  for (int64_t begin = 0; begin < columns_; begin += kHessianBlock) {
    const int64_t end = std::min(begin + kHessianBlock, columns_);
    const PackedMatrix block(columns.view(begin, end), machine);
    Matrix products(end, end - begin);  // H[0 .. end, begin .. end]
    block.multiply(columns.view(0, end), {}, products.view());
    machine.pool.for_range(end, kColumnGrain, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i)
        for (int64_t j = begin; j < end; ++j) {
          hessian_.row(i)[j] += products.row(i)[j - begin];
          if (i < begin) hessian_.row(j)[i] = hessian_.row(i)[j];
        }
    });
  }
}

std::vector<float> InputStatistics::mean_magnitude() const {
  std::vector<float> mean(sum_magnitude_.size());
  for (size_t k = 0; k < mean.size(); ++k)
    mean[k] = static_cast<float>(sum_magnitude_[k] /
                                 static_cast<double>(std::max<int64_t>(num_added_, 1)));
  return mean;
}

bool InputStatistics::is_finite() const {
  return std::ranges::all_of(sum_magnitude_, [](double sum) { return std::isfinite(sum); });
}

void InputStatistics::divide_columns(std::span<const float> scales) {
  VELOZ_CHECK(scales.size() == amax_.size(), "{} scales for {} columns", scales.size(),
              amax_.size());
  for (size_t k = 0; k < scales.size(); ++k) {
    amax_[k] /= scales[k];
    sum_magnitude_[k] /= static_cast<double>(scales[k]);
  }
  const auto divide = [&](Matrix& matrix) {
    for (int64_t i = 0; i < matrix.rows; ++i)
      for (size_t k = 0; k < scales.size(); ++k) matrix.row(i)[k] /= scales[k];
  };
  divide(samples_);
  if (hessian_.rows == 0) return;
  divide(hessian_);
  for (int64_t i = 0; i < columns_; ++i)
    for (int64_t k = 0; k < columns_; ++k) hessian_.row(i)[k] /= scales[static_cast<size_t>(i)];
}

}  // namespace veloz::compress
