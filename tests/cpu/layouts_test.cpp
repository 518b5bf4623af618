// SPDX-License-Identifier: Apache-2.0
#include "cpu/layouts.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernel_runs.h"

namespace veloz::cpu {
namespace {

using test::OwnedTensor;
using test::random_tensor;

const Shape kShapes[] = {{1, 1}, {16, 2}, {17, 3}, {33, 64}, {130, 127}, {48, 6}};

TEST(WeightLayouts, UnpackGivesBackWhatPackTook) {
  for (const ops::WeightLayout& layout : weight_layouts())
    for (const Shape& shape : kShapes) {
      const OwnedTensor plain = random_tensor(layout.dtype, shape, 3, {.low = 0, .high = 100});
      const PackedTensor packed(plain.view(), layout);
      const OwnedTensor back(layout.dtype, shape);
      layout.unpack({layout.dtype, shape, 0, shape[0]}, packed.view().as<const std::byte>(),
                    back.view().as<std::byte>());
      EXPECT_TENSOR_EQ(back.view(), plain.view(), 3) << layout.name;
    }
}

TEST(WeightLayouts, PanelsPackedOneByOneEqualAllAtOnce) {
  for (const ops::WeightLayout& layout : weight_layouts()) {
    const Shape shape{70, 31};
    const OwnedTensor plain = random_tensor(layout.dtype, shape, 4, {.low = 0, .high = 100});
    const PackedTensor whole(plain.view(), layout);
    const OwnedTensor pieces = OwnedTensor(DType::uint8, whole.bytes().shape);
    const OwnedTensor back(layout.dtype, shape);
    const int64_t row_bytes = shape[1] * static_cast<int64_t>(dtype_bytes(layout.dtype));
    for (int64_t begin = 0; begin < shape[0]; begin += 2 * layout.row_granularity) {
      const int64_t end = std::min(begin + 2 * layout.row_granularity, shape[0]);
      const ops::PackRange range{layout.dtype, shape, begin, end};
      std::byte* const to = pieces.view().as<std::byte>() + layout.packed_offset(shape, begin);
      layout.pack(range, plain.view().as<const std::byte>() + begin * row_bytes, to);
      layout.unpack(range, to, back.view().as<std::byte>() + begin * row_bytes);
    }
    EXPECT_TENSOR_EQ(pieces.view(), whole.bytes(), 4) << layout.name;
    EXPECT_TENSOR_EQ(back.view(), plain.view(), 4) << layout.name;
  }
}

TEST(WeightLayouts, PairsOfBf16LieSideBySideAndPaddingIsZero) {
  const Shape shape{17, 3};
  OwnedTensor plain(DType::bf16, shape);
  for (int64_t i = 0; i < 17 * 3; ++i)
    test::set_element(plain.view(), i, static_cast<double>(i + 1));
  const PackedTensor packed(plain.view(), weight_layouts()[0]);
  ASSERT_EQ(packed.bytes().num_bytes(), 2u * 2 * 16 * 2 * 2);
  const auto* const element = packed.view().as<const BFloat16>();
  const auto at = [&](int64_t panel, int64_t pair, int64_t lane, int64_t half) {
    return static_cast<float>(element[((panel * 2 + pair) * 16 + lane) * 2 + half]);
  };
  EXPECT_EQ(at(0, 0, 0, 0), 1);  // row 0
  EXPECT_EQ(at(0, 0, 0, 1), 2);
  EXPECT_EQ(at(0, 1, 0, 0), 3);
  EXPECT_EQ(at(0, 1, 0, 1), 0);    // odd K
  EXPECT_EQ(at(0, 0, 15, 0), 46);  // row 15
  EXPECT_EQ(at(1, 0, 0, 1), 50);   // row 16
  EXPECT_EQ(at(1, 0, 1, 0), 0);    // no row 17
}

TEST(WeightLayouts, Int8LiesInFoursOffsetBy128) {
  const Shape shape{17, 5};
  const OwnedTensor plain = random_tensor(DType::int8, shape, 6, {.low = -128, .high = 128});
  const PackedTensor packed(plain.view(),
                            make_registry(Isa::portable).layout(kLayoutInt8, DType::int8));
  ASSERT_EQ(packed.bytes().num_bytes(), 2u * 2 * 16 * 4);
  const auto code = [&](int64_t row, int64_t k) {
    return row < 17 && k < 5 ? plain.view().row<const int8_t>(row)[k] : 0;
  };
  for (int64_t i = 0; i < 2 * 2 * 16 * 4; ++i) {
    const int64_t row = i / 128 * 16 + i / 4 % 16;
    const int64_t k = i / 64 % 2 * 4 + i % 4;
    EXPECT_EQ(packed.view().as<const uint8_t>()[i], code(row, k) + 128) << i;
  }
}

TEST(WeightLayouts, Fp8LiesInPairsOfFourChannels) {
  const Shape shape{17, 5};
  const OwnedTensor plain = random_tensor(DType::uint8, shape, 7, {.low = 0, .high = 256});
  const TensorView codes(plain.view().data, DType::fp8_e4m3, shape);
  const PackedTensor packed(codes,
                            make_registry(Isa::portable).layout(kLayoutFp8, DType::fp8_e4m3));
  ASSERT_EQ(packed.bytes().num_bytes(), 2u * 2 * 16 * 4);
  const auto code = [&](int64_t row, int64_t k) {
    return row < 17 && k < 5 ? plain.view().row<const uint8_t>(row)[k] : 0;
  };
  for (int64_t i = 0; i < 2 * 2 * 16 * 4; ++i) {
    const int64_t row = i / 128 * 16 + i / 16 % 4 * 4 + i / 2 % 4;
    const int64_t k = i / 64 % 2 * 4 + i / 8 % 2 * 2 + i % 2;
    EXPECT_EQ(packed.view().as<const uint8_t>()[i], code(row, k)) << i;
  }
}

TEST(WeightLayouts, EightCodesOf4BitsLieInFourBytesLowHalvesFirst) {
  const Shape shape{17, 5};  // ten of K
  const OwnedTensor plain(DType::uint4x2, shape);
  const auto code = [](int64_t row, int64_t k) { return static_cast<uint8_t>((row + k) % 16); };
  for (int64_t row = 0; row < 17; ++row)
    for (int64_t i = 0; i < 5; ++i)
      plain.view().row<uint8_t>(row)[i] =
          static_cast<uint8_t>(code(row, 2 * i) | code(row, 2 * i + 1) << 4);
  const PackedTensor packed(plain.view(),
                            make_registry(Isa::portable).layout(kLayoutUint4x2, DType::uint4x2));
  ASSERT_EQ(packed.bytes().num_bytes(), 2u * 2 * 16 * 4);
  const auto* const bytes = packed.view().as<const uint8_t>();
  const auto at = [&](int64_t panel, int64_t step, int64_t lane, int64_t i) {
    return bytes[((panel * 2 + step) * 16 + lane) * 4 + i];
  };
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(at(0, 0, 3, i), code(3, i) | code(3, i + 4) << 4) << i;
    EXPECT_EQ(at(1, 0, 0, i), code(16, i) | code(16, i + 4) << 4) << i;
    EXPECT_EQ(at(0, 1, 3, i), i < 2 ? code(3, 8 + i) : 0) << i;  // K ends
    EXPECT_EQ(at(1, 0, 1, i), 0) << i;                           // no row 17
  }
}

TEST(Registry, PrefersPackedLayoutsForTheFastestLinear) {
  for (const Isa isa : kIsas) {
    const ops::KernelRegistry registry = make_registry(isa);
    for (const DType dtype : {DType::bf16, DType::fp32}) {
      const std::vector<ops::ValueType> inputs = {{dtype, {ops::Symbol::T, 64}}, {dtype, {32, 64}}};
      const std::vector<ops::ValueType> outputs = {{dtype, {ops::Symbol::T, 32}}};
      const std::string_view layout = dtype == DType::bf16 ? kLayoutBf16 : kLayoutFp32;
      const ops::Kernel& kernel = registry.choose({ops::Op::linear, inputs, outputs, {}, layout});
      EXPECT_FALSE(is_reference(kernel));
      // The least instruction set that the name tells is the one asked for, where there is one.
      const Isa least = isa == Isa::avx2_vnni ? Isa::avx2
                        : dtype == DType::fp32 || isa == Isa::avx512_vnni
                            ? std::min(isa, Isa::avx512)
                            : isa;
      EXPECT_TRUE(kernel.name.starts_with(fmt::format("linear/{}", to_string(least))))
          << kernel.name;
    }
  }
}

}  // namespace
}  // namespace veloz::cpu
