// SPDX-License-Identifier: Apache-2.0
#include "base/table.h"

#include <gtest/gtest.h>

namespace veloz {
namespace {

TEST(Table, AlignsColumnsAndLeavesNoSpaceAtTheEnd) {
  Table table({{"op"}, {"ms", Table::Align::right}, {"roof"}});
  table.add_row({"linear", "1", "dram"});
  table.add_row({"add", "12.5"});
  EXPECT_EQ(table.text(),
            "op        ms  roof\n"
            "linear     1  dram\n"
            "add     12.5\n");
}

}  // namespace
}  // namespace veloz
