// SPDX-License-Identifier: Apache-2.0
#include "base/shape.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "base/tensor_view.h"

namespace veloz {
namespace {

TEST(Shape, KnowsItsExtents) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape.rank(), 3u);
  EXPECT_EQ(shape[1], 3);
  EXPECT_EQ(shape.back(), 5);
  EXPECT_EQ(shape.num_elements(), 30);
  EXPECT_EQ(to_string(shape), "[2, 3, 5]");
  EXPECT_EQ(Shape().num_elements(), 1);
  EXPECT_EQ(to_string(Shape()), "[]");
  EXPECT_EQ((Shape{4, 0, 9}).num_elements(), 0);
}

TEST(Shape, ComparesRankAndExtents) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_FALSE((Shape{2, 3}) == (Shape{3, 2}));
  EXPECT_FALSE((Shape{2}) == (Shape{2, 0}));
  EXPECT_FALSE((Shape{}) == (Shape{0}));
}

TEST(Shape, RefusesNegativeExtentsAndTooManyOfThem) {
  EXPECT_THROW((Shape{1, -1}), Error);
  EXPECT_NO_THROW(Shape(std::vector<int64_t>(Shape::kMaxRank, 1)));
  EXPECT_THROW(Shape(std::vector<int64_t>(Shape::kMaxRank + 1, 1)), Error);
}

TEST(TensorView, StridesSkipWholeRows) {
  std::vector<float> data(4 * 10);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i);
  const TensorView columns(data.data() + 3, DType::fp32, {4, 2}, 10);
  EXPECT_FALSE(columns.is_contiguous());
  EXPECT_EQ(columns.row<float>(2)[1], 24.0f);
  EXPECT_EQ(columns.num_bytes(), 32u);
  const TensorView whole(data.data(), DType::fp32, {4, 2, 5});
  EXPECT_TRUE(whole.is_contiguous());
  EXPECT_EQ(whole.row_stride, 10);
}

}  // namespace
}  // namespace veloz
