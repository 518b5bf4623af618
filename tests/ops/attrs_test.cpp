// SPDX-License-Identifier: Apache-2.0
#include "ops/attrs.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "base/philox.h"
#include "support/expect_error.h"

namespace veloz::ops {
namespace {

Attrs reparse(const Attrs& attrs) {
  const std::string text = to_string(attrs);  // " {...}"
  return parse_attrs(std::string_view(text).substr(2, text.size() - 3));
}

TEST(Attrs, PrintSortedByName) {
  const Attrs attrs = {{"num_heads", int64_t{32}}, {"eps", 1e-05}, {"act", std::string("silu")}};
  EXPECT_EQ(to_string(attrs), " {act=\"silu\", eps=1e-05, num_heads=32}");
  EXPECT_EQ(to_string(Attrs()), "");
  EXPECT_EQ(parse_attrs(" num_heads = 32 ,eps=1e-05,  act=\"silu\" "), attrs);
  EXPECT_EQ(parse_attrs("  "), Attrs());
}

TEST(Attrs, DoublesStayDoublesAndLoseNoBit) {
  EXPECT_EQ(to_string(AttrValue(10000.0)), "10000.0");
  EXPECT_EQ(to_string(AttrValue(int64_t{10000})), "10000");
  EXPECT_EQ(to_string(AttrValue(0.1)), "0.1");
  std::vector<double> values = {0.0,
                                -0.0,
                                1.0 / 3,
                                1e22,
                                1e300,
                                5e-324,
                                std::numeric_limits<double>::max(),
                                std::numeric_limits<double>::infinity(),
                                -std::numeric_limits<double>::infinity()};
  for (uint32_t i = 0; i < 2000; ++i) {
    const auto words = philox4x32({i, 0, 0, 0}, {5, 0});
    const double value = std::bit_cast<double>(uint64_t{words[0]} << 32 | words[1]);
    if (!std::isnan(value)) values.push_back(value);
  }
  for (const double value : values) {
    const Attrs back = reparse({{"x", value}});
    ASSERT_TRUE(std::holds_alternative<double>(back.entries()[0].second)) << value;
    EXPECT_EQ(std::bit_cast<uint64_t>(back.get_float("x")), std::bit_cast<uint64_t>(value));
  }
  EXPECT_TRUE(std::isnan(reparse({{"x", std::nan("")}}).get_float("x")));
}

TEST(Attrs, IntegersAndStringsComeBackExactly) {
  std::string every_byte;
  for (int c = 0; c < 256; ++c) every_byte += static_cast<char>(c);
  const Attrs attrs = {{"low", std::numeric_limits<int64_t>::min()},
                       {"high", std::numeric_limits<int64_t>::max()},
                       {"text", every_byte},
                       {"tricky", std::string("a=1, \"b\"} {\\x41\n")},
                       {"empty", std::string()}};
  EXPECT_EQ(reparse(attrs), attrs);
}

TEST(Attrs, SetReplacesAndEraseRemoves) {
  Attrs attrs = {{"a", int64_t{1}}};
  attrs.set("a", int64_t{2});
  attrs.set("b", 0.5);
  EXPECT_EQ(attrs.get_int("a"), 2);
  EXPECT_EQ(attrs.get_float("a"), 2.0);
  attrs.erase("a");
  EXPECT_FALSE(attrs.contains("a"));
  EXPECT_EQ(attrs.get_int_or("a", 7), 7);
  EXPECT_EQ(attrs.entries().size(), 1u);
}

TEST(Attrs, GettersNameWhatIsMissingOrOfAnotherType) {
  const Attrs attrs = {{"eps", 0.5}, {"act", std::string("silu")}};
  const auto corrupt = [&](std::string_view part, const auto& f) {
    EXPECT_TRUE(test::throws_error(ErrorKind::corrupt_data, {part}, f));
  };
  corrupt("attribute \"theta\" is missing", [&] { attrs.get_float("theta"); });
  corrupt("attribute eps=0.5 is not an integer", [&] { attrs.get_int("eps"); });
  corrupt("attribute act=\"silu\" is not a number", [&] { attrs.get_float("act"); });
  corrupt("attribute eps=0.5 is not a string", [&] { attrs.get_string("eps"); });
  corrupt("attribute eps=0.5 is not an integer", [&] { attrs.get_int_or("eps", 1); });
}

TEST(Attrs, ParserRefusesWhatIsNoAttributeList) {
  const std::vector<std::string> texts = {"a",
                                          "a=",
                                          "=1",
                                          "a=1,",
                                          "a=1 b=2",
                                          "1a=2",
                                          "a=1,,b=2",
                                          "a=\"x",
                                          "a=\"\\",
                                          "a=\"\\q\"",
                                          "a=\"\\x1\"",
                                          "a=\"\\xgg\"",
                                          "a=1e",
                                          "a=--1",
                                          "a=0x10",
                                          "a=1.2.3",
                                          "a=tru",
                                          "a=1,a=2",
                                          "a=99999999999999999999",
                                          "a={1}",
                                          "a=1e999",
                                          "a==1",
                                          "a-b=1",
                                          "a=\"x\"y"};
  for (const std::string& text : texts)
    EXPECT_TRUE(test::throws_error(ErrorKind::corrupt_data, {"bad attributes", text}, [&] {
      parse_attrs(text);
    })) << text;
}

}  // namespace
}  // namespace veloz::ops
