// SPDX-License-Identifier: Apache-2.0
#include "http/openai/field_reader.h"

#include <gtest/gtest.h>

#include "http/openai/expect_refused.h"

namespace veloz::http::openai {
namespace {

TEST(ParseBody, RefusesWhatIsNoJsonObject) {
  const std::string deep(100'000, '[');
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[1]"), std::string("\"x\""),
        std::string("null"), std::string("{\"a\":NaN}"), std::string("{\"a\":Infinity}"),
        std::string("{'a':1}"), std::string("{\"a\":1,}"), std::string("{\"a\":\"\\ud800\"}"),
        std::string("{\"a\":\"\xff\"}"), std::string("{\"a\":1e999}"), std::string("{}{}"), deep,
        "{\"a\":" + deep, std::string("{\"a\":\"\0\"}", 9)})
    expect_refused([&] { (void)parse_body(body); }, "");
}

TEST(ParseBody, TakesNulAndPairsOfSurrogatesInStrings) {
  const Json body = parse_body(R"({"a":"x\u0000y","b":"\ud83c\udf89"})");
  EXPECT_EQ(body.find("a")->as_string(), std::string_view("x\0y", 3));
  EXPECT_EQ(body.find("b")->as_string(), "🎉");
}

TEST(FieldReader, LeavesDefaultsWhereAFieldIsAbsentOrNull) {
  const Json body = parse_body(R"({"a":null})");
  FieldReader reader(body);
  bool flag = true;
  double number = 0.5;
  reader.boolean("a", flag, "");
  reader.number("b", number, {}, "");
  EXPECT_TRUE(flag);
  EXPECT_EQ(number, 0.5);
}

TEST(FieldReader, NamesParameterValueAndWhatItMustBe) {
  const Json body = parse_body(R"({"n":"3","t":-1,"s":[1],"b":1,"big":9223372036854775808})");
  FieldReader reader(body);
  int64_t integer = 0;
  double number = 0;
  std::string text;
  bool flag = false;
  expect_refused([&] { reader.integer("n", integer, {.min = 1, .max = 8}, ""); }, "n",
                 "\"n\" is \"3\", it must be an integer from 1 to 8");
  expect_refused([&] { reader.number("t", number, {.min = 0}, ""); }, "t",
                 "\"t\" is -1, it must be a number of at least 0");
  expect_refused([&] { reader.string("s", text, ""); }, "s", "a list, it must be a string");
  expect_refused([&] { reader.boolean("b", flag, ""); }, "b", "true or false");
  expect_refused([&] { reader.integer("big", integer, {.min = 1}, ""); }, "big", "at least 1");
}

TEST(FieldReader, TakesIntegersThatAreWrittenAsNumbers) {
  EXPECT_EQ(read_integer("n", Json::real(16.0)), 16);
  expect_refused([] { (void)read_integer("n", Json::real(16.5)); }, "n");
  expect_refused([] { (void)read_integer("n", Json::real(1e300)); }, "n");
  expect_refused([] { (void)read_integer("n", Json::boolean(true)); }, "n");
}

TEST(FieldReader, KeepsExclusiveEnds) {
  const NumberRange range{.min = 0, .max = 1, .excludes_min = true};
  EXPECT_EQ(read_number("p", Json::integer(1), range), 1.0);
  expect_refused([&] { (void)read_number("p", Json::real(0.0), range); }, "p",
                 "a number above 0 and at most 1");
}

TEST(FieldReader, NamesTheItemOfAListThatIsWrong) {
  const Json body = parse_body(R"({"ids":[1,2,-3],"words":["a",7]})");
  expect_refused([&] { (void)read_token_ids("ids", *body.find("ids")); }, "ids[2]");
  expect_refused([&] { (void)read_strings("words", *body.find("words")); }, "words[1]");
}

TEST(FieldReader, CutsLongValuesBetweenCharacters) {
  std::string text(59, 'x');
  text += "ü and more that nobody needs to see";
  try {
    (void)read_integer("n", Json::string(text));
    FAIL();
  } catch (const RequestError& e) {
    EXPECT_LT(e.message().size(), 150U);
    EXPECT_EQ(e.message().find('\xBC'), std::string::npos);  // no half of the ü
  }
}

}  // namespace
}  // namespace veloz::http::openai
