// SPDX-License-Identifier: Apache-2.0
#include "http/openai/json_writer.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "text/jinja/json.h"

namespace veloz::http::openai {
namespace {

std::string quote(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonWriter, EscapesWhatJsonMustNotHoldAndNothingElse) {
  EXPECT_EQ(quote("a\"b\\c\n\r\t\b\f"), R"("a\"b\\c\n\r\t\b\f")");
  EXPECT_EQ(quote(std::string_view("\0\x1f\x7f", 3)), R"("\u0000\u001f\u007f")");
  EXPECT_EQ(quote("grüße 漢字 🎉 </script>"), "\"grüße 漢字 🎉 </script>\"");
}

TEST(JsonWriter, GivesEveryByteBackThroughAParser) {
  for (int c = 0; c < 0x80; ++c) {
    const std::string text = std::string("x") + static_cast<char>(c) + "y";
    EXPECT_EQ(nlohmann::json::parse(quote(text)).get<std::string>(), text) << c;
  }
}

TEST(JsonWriter, WritesNumbersThatReadBackEqual) {
  for (const double value : {0.0, 1.0, -0.1, 1e300, 5e-324, 123456789.125}) {
    std::string out;
    append_json_number(out, value);
    EXPECT_EQ(nlohmann::json::parse(out).get<double>(), value) << out;
    EXPECT_TRUE(nlohmann::json::parse(out).is_number_float()) << out;
  }
  std::string out;
  append_json_number(out, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(out, "-9223372036854775808");
}

TEST(JsonWriter, WritesNullForWhatJsonCannotSay) {
  std::string out;
  append_json_number(out, std::numeric_limits<double>::quiet_NaN());
  append_json_number(out, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(out, "nullnull");
}

TEST(JsonWriter, PutsCommasBetweenMembersAndItemsOnly) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("a").begin_array().value(1).value(true).null().end_array();
  writer.key("b").begin_object().end_object().field("c", "d").end_object();
  EXPECT_EQ(out, R"({"a":[1,true,null],"b":{},"c":"d"})");
}

TEST(JsonWriter, WritesAValueAsItWasSentWithItsKeysInOrder) {
  const std::string text = R"({"z":[1,2.5,"x",null,false],"a":{"k":{}}})";
  EXPECT_EQ(json_text(text::jinja::parse_json(text)), text);
}

}  // namespace
}  // namespace veloz::http::openai
