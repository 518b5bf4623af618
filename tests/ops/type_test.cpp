// SPDX-License-Identifier: Apache-2.0
#include "ops/type.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace veloz::ops {
namespace {

TEST(ValueType, PrintsAndParsesBack) {
  const std::vector<std::string> texts = {
      "bf16[T,2048]",       "fp32[R,32000]", "int32[]",   "int64[T]",
      "bf16[N,2,4,64,128]", "fp16[0]",       "int8[S,B]", "uint8[7]"};
  for (const std::string& text : texts) EXPECT_EQ(to_string(parse_value_type(text)), text);
  const ValueType type = parse_value_type("bf16[T,2048]");
  EXPECT_EQ(type, (ValueType{DType::bf16, {Symbol::T, 2048}}));
}

TEST(ValueType, BindsSymbolsToExtents) {
  Binding binding{};
  binding[static_cast<size_t>(Symbol::T)] = 9;
  binding[static_cast<size_t>(Symbol::N)] = 100;
  EXPECT_EQ(parse_value_type("bf16[T,2048]").bind(binding), (Shape{9, 2048}));
  EXPECT_EQ(parse_value_type("fp32[N,2,1,16,8]").bind(binding), (Shape{100, 2, 1, 16, 8}));
  EXPECT_EQ(parse_value_type("fp32[]").bind(binding), Shape());
}

TEST(ValueType, RefusesWhatItWouldNotPrint) {
  const std::vector<std::string> texts = {"",
                                          "bf16",
                                          "bf16[",
                                          "bf16]",
                                          "[T]",
                                          "fp8[T]",
                                          "bf16[T,]",
                                          "bf16[,T]",
                                          "bf16[Q]",
                                          "bf16[-1]",
                                          "bf16[07]",
                                          "bf16[ 7]",
                                          "bf16[7 ]",
                                          "bf16[+7]",
                                          "bf16[none]",
                                          "bf16[t]",
                                          "bf16[1]x",
                                          "bf16[0x10]",
                                          "bf16[1.0]",
                                          "bf16[1,,2]",
                                          "BF16[1]",
                                          "bf16[[1]",
                                          "bf16[1]]",
                                          "fp32[1,1,1,1,1,1,1]",
                                          "fp32[99999999999999999999]"};
  for (const std::string& text : texts)
    EXPECT_TRUE(test::throws_error(ErrorKind::corrupt_data,
                                   {"is no value type", text.substr(0, 90)},
                                   [&] { parse_value_type(text); }))
        << text;
}

}  // namespace
}  // namespace veloz::ops
