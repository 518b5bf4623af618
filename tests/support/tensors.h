// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "base/error.h"
#include "base/fp8.h"
#include "base/philox.h"
#include "base/tensor_view.h"

/// Tensors for tests of kernels. In short:
///
///   const uint64_t seed = 7;
///   OwnedTensor x = random_tensor(DType::bf16, {5, 127}, seed);               // contiguous, [-1,
///   1) OwnedTensor q = random_tensor(DType::bf16, {5, 64}, seed, {.row_stride = 192}); OwnedTensor
///   ids = random_tensor(DType::int32, {5}, seed, {.low = 0, .high = 1003}); OwnedTensor g =
///   tensor_of<float>({2, 2}, {1, 2, 3, 4}); OwnedTensor y(DType::fp32, {5, 64}); // zeroed
///   GuardedTensor end(x.view());         // the same elements, the byte after the last unreadable
///   EXPECT_TENSOR_NEAR(y.view(), want.view(), (Tolerance{.absolute = 1e-6, .relative = 1e-5}),
///   seed); EXPECT_TENSOR_EQ(y.view(), want.view(), seed);                             // bit for
///   bit EXPECT_TRUE(y.gaps_untouched());     // nobody wrote between the rows of a strided tensor
///
/// To hold a kernel against its op's reference, see support/op_runs.h.
namespace veloz::test {

/// Element `flat` (row-major over the logical shape) of a view, as double.
inline double element(const TensorView& view, int64_t flat) {
  const int64_t row_elements = TensorView::contiguous_row_stride(view.shape);
  const int64_t at = flat / row_elements * view.row_stride + flat % row_elements;
  switch (view.dtype) {
    case DType::fp32:
      return view.as<const float>()[at];
    case DType::bf16:
      return static_cast<float>(view.as<const BFloat16>()[at]);
    case DType::fp16:
      return fp16_to_fp32(view.as<const uint16_t>()[at]);
    case DType::fp8_e4m3:
      return static_cast<float>(view.as<const Fp8E4M3>()[at]);
    case DType::int64:
      return static_cast<double>(view.as<const int64_t>()[at]);
    case DType::int32:
      return view.as<const int32_t>()[at];
    case DType::int8:
      return view.as<const int8_t>()[at];
    case DType::uint8:
    case DType::uint4x2:  // both codes, as they lie in their byte
      return view.as<const uint8_t>()[at];
  }
  return 0;
}

/// Rounds to the view's dtype.
inline void set_element(const TensorView& view, int64_t flat, double value) {
  const int64_t row_elements = TensorView::contiguous_row_stride(view.shape);
  const int64_t at = flat / row_elements * view.row_stride + flat % row_elements;
  switch (view.dtype) {
    case DType::fp32:
      view.as<float>()[at] = static_cast<float>(value);
      return;
    case DType::bf16:
      view.as<BFloat16>()[at] = BFloat16(static_cast<float>(value));
      return;
    case DType::fp16:
      view.as<uint16_t>()[at] = fp32_to_fp16(static_cast<float>(value));
      return;
    case DType::fp8_e4m3:
      view.as<Fp8E4M3>()[at] = Fp8E4M3(static_cast<float>(value));
      return;
    case DType::int64:
      view.as<int64_t>()[at] = static_cast<int64_t>(value);
      return;
    case DType::int32:
      view.as<int32_t>()[at] = static_cast<int32_t>(value);
      return;
    case DType::int8:
      view.as<int8_t>()[at] = static_cast<int8_t>(value);
      return;
    case DType::uint8:
    case DType::uint4x2:
      view.as<uint8_t>()[at] = static_cast<uint8_t>(value);
      return;
  }
}

/// A tensor with 64-byte aligned memory of its own; movable. The gaps between rows of a strided one
/// hold 0xA5 bytes.
class OwnedTensor {
 public:
  OwnedTensor(DType dtype, const Shape& shape)
      : OwnedTensor(dtype, shape, TensorView::contiguous_row_stride(shape)) {}
  OwnedTensor(DType dtype, const Shape& shape, int64_t row_stride) {
    VELOZ_CHECK(row_stride >= TensorView::contiguous_row_stride(shape), "row stride {}",
                row_stride);
    const int64_t rows = shape.rank() == 0 ? 1 : shape[0];
    bytes_ = static_cast<size_t>(rows * row_stride) * dtype_bytes(dtype);
    memory_.reset(static_cast<std::byte*>(
        ::operator new(std::max<size_t>(bytes_, 1), std::align_val_t(kAlignment))));
    std::memset(memory_.get(), kGapByte, bytes_);
    view_ = TensorView(memory_.get(), dtype, shape, row_stride);
    for (int64_t i = 0; i < shape.num_elements(); ++i) set_element(view_, i, 0);
  }

  /// Valid as long as this tensor, moves of it included.
  const TensorView& view() const { return view_; }
  template <typename T>
  std::span<T> elements() {  // of a contiguous tensor
    VELOZ_CHECK(view_.is_contiguous(), "a strided tensor is no span");
    return {view_.as<T>(), static_cast<size_t>(view_.shape.num_elements())};
  }
  bool gaps_untouched() const {
    const size_t used = static_cast<size_t>(TensorView::contiguous_row_stride(view_.shape)) *
                        dtype_bytes(view_.dtype);
    const size_t stride = static_cast<size_t>(view_.row_stride) * dtype_bytes(view_.dtype);
    for (size_t at = 0; at < bytes_; ++at)
      if (at % stride >= used && memory_.get()[at] != std::byte{kGapByte}) return false;
    return true;
  }

 private:
  static constexpr size_t kAlignment = 64;
  static constexpr unsigned char kGapByte = 0xA5;
  struct Free {
    void operator()(std::byte* memory) const {
      ::operator delete(memory, std::align_val_t(kAlignment));
    }
  };
  std::unique_ptr<std::byte, Free> memory_;
  size_t bytes_ = 0;
  TensorView view_;
};

struct RandomRange {
  double low = -1;
  double high = 1;         // exclusive
  int64_t row_stride = 0;  // 0: contiguous
};

/// Uniform values; the same on every machine for a seed.
inline OwnedTensor random_tensor(DType dtype, const Shape& shape, uint64_t seed,
                                 const RandomRange& range = {}) {
  OwnedTensor tensor(dtype, shape,
                     std::max(range.row_stride, TensorView::contiguous_row_stride(shape)));
  const bool is_integer = dtype != DType::fp32 && dtype != DType::bf16 && dtype != DType::fp16 &&
                          dtype != DType::fp8_e4m3;
  for (int64_t i = 0; i < shape.num_elements(); ++i) {
    const auto flat = static_cast<uint64_t>(i);
    const auto words =
        philox4x32({static_cast<uint32_t>(flat), static_cast<uint32_t>(flat >> 32), 0, 0},
                   {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
    const double value =
        range.low + (range.high - range.low) * static_cast<double>(words[0]) * 0x1p-32;
    set_element(tensor.view(), i, is_integer ? std::floor(value) : value);
  }
  return tensor;
}

/// Contiguous tensor of the dtype that T is (float, BFloat16, int64_t, int32_t, int8_t, uint8_t).
template <typename T>
OwnedTensor tensor_of(const Shape& shape, const std::vector<T>& values) {
  DType dtype = DType::fp32;
  if constexpr (std::is_same_v<T, BFloat16>) dtype = DType::bf16;
  if constexpr (std::is_same_v<T, int64_t>) dtype = DType::int64;
  if constexpr (std::is_same_v<T, int32_t>) dtype = DType::int32;
  if constexpr (std::is_same_v<T, int8_t>) dtype = DType::int8;
  if constexpr (std::is_same_v<T, uint8_t>) dtype = DType::uint8;
  OwnedTensor tensor(dtype, shape);
  VELOZ_CHECK(values.size() == static_cast<size_t>(shape.num_elements()), "{} values for {}",
              values.size(), to_string(shape));
  std::copy(values.begin(), values.end(), tensor.view().as<T>());
  return tensor;
}

/// A contiguous copy.
inline OwnedTensor copy_of(const TensorView& view) {
  OwnedTensor tensor(view.dtype, view.shape);
  for (int64_t i = 0; i < view.shape.num_elements(); ++i)
    set_element(tensor.view(), i, element(view, i));
  return tensor;
}

inline std::vector<double> values_of(const TensorView& view) {
  std::vector<double> values;
  for (int64_t i = 0; i < view.shape.num_elements(); ++i) values.push_back(element(view, i));
  return values;
}

/// Copy of a tensor, strides included, that ends where an unreadable page begins and starts just
/// after another one if it fills whole pages: a kernel that looks past the end dies. Aligned to its
/// elements only.
class GuardedTensor {
 public:
  explicit GuardedTensor(const TensorView& from) {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const int64_t rows = from.shape.rank() == 0 ? 1 : from.shape[0];
    const int64_t spanned =
        rows == 0 ? 0
                  : (rows - 1) * from.row_stride + TensorView::contiguous_row_stride(from.shape);
    const size_t bytes = static_cast<size_t>(spanned) * dtype_bytes(from.dtype);
    const size_t inner = (bytes + page - 1) / page * page;
    mapped_bytes_ = inner + 2 * page;
    mapping_ =
        ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    VELOZ_CHECK(mapping_ != MAP_FAILED, "mmap of {} bytes failed", mapped_bytes_);
    auto* const base = static_cast<std::byte*>(mapping_);
    VELOZ_CHECK(::mprotect(base, page, PROT_NONE) == 0, "mprotect failed");
    VELOZ_CHECK(::mprotect(base + page + inner, page, PROT_NONE) == 0, "mprotect failed");
    std::byte* const data = base + page + inner - bytes;
    if (bytes > 0) std::memcpy(data, from.data, bytes);
    view_ = TensorView(data, from.dtype, from.shape, from.row_stride);
  }
  ~GuardedTensor() { ::munmap(mapping_, mapped_bytes_); }
  GuardedTensor(const GuardedTensor&) = delete;
  GuardedTensor& operator=(const GuardedTensor&) = delete;

  const TensorView& view() const { return view_; }

 private:
  void* mapping_ = nullptr;
  size_t mapped_bytes_ = 0;
  TensorView view_;
};

struct Tolerance {
  double absolute = 0;
  double relative = 0;  // of the expected element
};

/// Compares element by element with `allowed(flat index)`; NaN only equals NaN. The failure tells
/// shape, seed, how many are off, and the worst.
template <typename Allowed>
::testing::AssertionResult compare_tensors(const TensorView& actual, const TensorView& expected,
                                           const Allowed& allowed, uint64_t seed) {
  if (actual.shape != expected.shape)
    return ::testing::AssertionFailure() << "shape " << to_string(actual.shape) << ", expected "
                                         << to_string(expected.shape) << ", seed " << seed;
  int64_t num_wrong = 0, worst = 0;
  double worst_excess = -1;
  for (int64_t i = 0; i < expected.shape.num_elements(); ++i) {
    const double a = element(actual, i);
    const double e = element(expected, i);
    if (a == e || (std::isnan(a) && std::isnan(e))) continue;
    const double bound = allowed(i);
    const double off = std::abs(a - e);
    if (off <= bound) continue;
    ++num_wrong;
    const double excess = std::isfinite(off)
                              ? off / std::max(bound, std::numeric_limits<double>::min())
                              : std::numeric_limits<double>::infinity();
    if (excess > worst_excess) {
      worst_excess = excess;
      worst = i;
    }
  }
  if (num_wrong == 0) return ::testing::AssertionSuccess();
  const int64_t row_elements = TensorView::contiguous_row_stride(expected.shape);
  return ::testing::AssertionFailure() << fmt::format(
             "{} of {} elements of {} {} are off (seed {}); worst at row {}, element {}: {} "
             "instead "
             "of {}, {} allowed",
             num_wrong, expected.shape.num_elements(), to_string(actual.dtype),
             to_string(expected.shape), seed, worst / row_elements, worst % row_elements,
             element(actual, worst), element(expected, worst), allowed(worst));
}

inline ::testing::AssertionResult tensor_near(const TensorView& actual, const TensorView& expected,
                                              const Tolerance& tolerance, uint64_t seed = 0) {
  return compare_tensors(
      actual, expected,
      [&](int64_t i) {
        return tolerance.absolute + tolerance.relative * std::abs(element(expected, i));
      },
      seed);
}

inline ::testing::AssertionResult tensor_equal(const TensorView& actual, const TensorView& expected,
                                               uint64_t seed = 0) {
  if (actual.dtype != expected.dtype)
    return ::testing::AssertionFailure()
           << to_string(actual.dtype) << ", expected " << to_string(expected.dtype);
  for (int64_t i = 0; i < expected.shape.num_elements() && actual.shape == expected.shape; ++i)
    if (element(actual, i) == 0 && element(expected, i) == 0 &&
        std::signbit(element(actual, i)) != std::signbit(element(expected, i)))
      return ::testing::AssertionFailure()
             << "element " << i << " is a zero of the other sign, seed " << seed;
  return compare_tensors(
      actual, expected, [](int64_t) { return 0.0; }, seed);
}

#define EXPECT_TENSOR_NEAR(actual, expected, tolerance, seed) \
  EXPECT_TRUE(::veloz::test::tensor_near(actual, expected, tolerance, seed))
#define EXPECT_TENSOR_EQ(actual, expected, seed) \
  EXPECT_TRUE(::veloz::test::tensor_equal(actual, expected, seed))

/// Matrices no tile divides: rows x columns around powers of two, single and empty ones.
inline std::vector<Shape> awkward_matrices() {
  return {{0, 8},  {1, 1},   {1, 2},   {2, 16},  {3, 31},  {5, 33},
          {7, 64}, {1, 127}, {4, 130}, {33, 17}, {17, 96}, {2, 1003}};
}

}  // namespace veloz::test
