// SPDX-License-Identifier: Apache-2.0
#include "base/median.h"

#include <gtest/gtest.h>

namespace veloz {
namespace {

TEST(Median, IsTheMiddleOfAnOddSampleWhateverItsOrder) { EXPECT_EQ(median({9, 1, 3}), 3); }
TEST(Median, IsTheMeanOfTheMiddlesOfAnEvenSample) { EXPECT_EQ(median({4, 1, 3, 100}), 3.5); }
TEST(Median, OfNothingIsZero) { EXPECT_EQ(median({}), 0); }

}  // namespace
}  // namespace veloz
