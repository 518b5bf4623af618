// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "grammar_texts.h"
#include "support/expect_error.h"

namespace veloz::grammar {
namespace {

using test::Texts;
using veloz::test::throws_error;

struct SchemaCase {
  const char* name;
  std::string schema;
  Texts texts;
};
void PrintTo(const SchemaCase& c, std::ostream* out) { *out << c.schema; }

class JsonSchemaGrammar : public ::testing::TestWithParam<SchemaCase> {};

TEST_P(JsonSchemaGrammar, TakesWhatSatisfiesTheSchema) {
  test::expect_texts(compile_json_schema(GetParam().schema), GetParam().texts);
}

const SchemaCase kTypes[] = {
    {"Null", R"({"type":"null"})", {{"null"}, {"true", "nul", "0"}}},
    {"Boolean", R"({"type":"boolean"})", {{"true", "false"}, {"null", "True", "1"}}},
    {"Integer", R"({"type":"integer"})", {{"0", "-7", "120"}, {"1.0", "1e3", "01", "--1"}}},
    {"Number", R"({"type":"number"})", {{"0", "-7.25", "1e3"}, {"\"1\"", "1."}}},
    {"String", R"({"type":"string"})", {{"\"\"", "\"é\\n\\u00e9\""}, {"x", "\"", "1"}}},
    {"Array", R"({"type":"array"})", {{"[]", "[1, [\"a\"]]"}, {"{}", "[1"}}},
    {"Object", R"({"type":"object"})", {{"{}", R"({"a": {"b": 1}})"}, {"[]"}}},
    {"ListOfTypes", R"({"type":["integer","null"]})", {{"3", "null"}, {"\"3\"", "3.5"}}},
    {"Nullable", R"({"type":"string","nullable":true})", {{"\"a\"", "null"}, {"1"}}},
    {"True", "true", {{"1", "{}", "null", "\"a\""}, {"a"}}},
    {"Empty", R"({"title":"anything"})", {{"1", "[{}]", "false"}, {""}}},
};

const SchemaCase kValues[] = {
    {"Enum",
     R"({"enum":["a",1,null,[1,{"b":2}]]})",
     {{"\"a\"", "1", "null", "[1,{\"b\":2}]", "[1, { \"b\": 2 }]"}, {"\"b\"", "2", "[1]"}}},
    {"EnumOfType", R"({"type":"string","enum":["a",1,"b"]})", {{"\"a\"", "\"b\""}, {"1"}}},
    {"EnumWithinBounds",
     R"({"enum":[1,5,10,"x"],"minimum":3,"type":["integer","string"]})",
     {{"5", "10", "\"x\""}, {"1"}}},
    {"EnumOfPattern", R"({"enum":["ab","xy"],"pattern":"^a"})", {{"\"ab\""}, {"\"xy\""}}},
    {"Const", R"({"const":"say \"hi\"\n"})", {{R"("say \"hi\"\n")"}, {"\"say\""}}},
    {"ConstObject", R"({"type":"object","const":{"a":[]}})", {{"{\"a\":[]}"}, {"{}"}}},
    {"EnumBesideProperties",
     R"({"enum":[{"a":1},{"a":"x"},{"b":1},{"a":2,"c":1}],"properties":{"a":{"type":"integer"}},
         "required":["a"],"additionalProperties":false})",
     {{R"({"a":1})"}, {R"({"a":"x"})", R"({"b":1})", R"({"a":2,"c":1})"}}},
    {"EnumBesideItems",
     R"({"enum":[[],[1],["x"],[1,2,3]],"items":{"type":"integer"},"maxItems":2})",
     {{"[]", "[1]"}, {"[\"x\"]", "[1,2,3]"}}},
    {"EnumOfNestedAlternatives",
     R"({"enum":[[1],["x"],[null]],"items":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/n"}]},
         "$defs":{"n":{"oneOf":[{"minimum":3},{"maximum":2},{"type":"string"}],"type":["number","string"]}}})",
     {{"[1]", "[null]"}, {"[\"x\"]"}}},
    {"EnumAndConst", R"({"enum":[1,2],"const":2.0})", {{"2.0"}, {"1"}}},
};

const SchemaCase kNumbers[] = {
    {"IntegerRange",
     R"({"type":"integer","minimum":-5,"maximum":123})",
     {{"-5", "-1", "0", "9", "99", "123"}, {"-6", "124", "200", "1230", "-0", "-50"}}},
    {"ExclusiveIntegerRange",
     R"({"type":"integer","exclusiveMinimum":9,"exclusiveMaximum":100})",
     {{"10", "99"}, {"9", "100", "0", "1", "-10"}}},
    {"DraftFourExclusive",
     R"({"type":"integer","minimum":9,"exclusiveMinimum":true,"maximum":11})",
     {{"10", "11"}, {"9", "12"}}},
    {"NegativeRange",
     R"({"type":"integer","maximum":-10,"minimum":-1000})",
     {{"-10", "-999", "-1000"}, {"-9", "-1001", "0", "10"}}},
    {"NumberRange",
     R"({"type":"number","minimum":-0.5,"exclusiveMaximum":2.25})",
     {{"-0.5", "-0.49", "0", "0.0", "1", "2", "2.2", "2.249", "2.2499999"},
      {"-0.51", "-1", "2.25", "2.250", "2.3", "3", "10", "1e0"}}},
    {"LargeBound",
     R"({"type":"integer","minimum":1e25})",
     {{"10000000000000000000000000", "99999999999999999999999999"}, {"9999999999999999999999999"}}},
    {"MultipleOf", R"({"type":"integer","multipleOf":7})", {{"0", "7", "-14", "700"}, {"1", "71"}}},
    {"MultipleOfCents",
     R"({"type":"number","multipleOf":0.01,"minimum":0})",
     {{"0", "1.5", "1.25", "19.99"}, {"1.255", "-1", "1.250"}}},
    {"MultipleOfFraction",
     R"({"type":"number","multipleOf":1.5})",
     {{"0", "1.5", "3", "4.5", "-3.0"}, {"1", "2.5", "0.5"}}},
    {"MultiplesOfBoth",
     R"({"type":"integer","allOf":[{"multipleOf":4},{"multipleOf":6}]})",
     {{"0", "12", "24"}, {"4", "6", "8"}}},
    {"MultipleInRange",
     R"({"type":"integer","multipleOf":5,"minimum":7,"maximum":20})",
     {{"10", "15", "20"}, {"5", "25", "7"}}},
    {"Int32",
     R"({"type":"integer","format":"int32"})",
     {{"2147483647", "-2147483648"}, {"2147483648", "-2147483649"}}},
};

const SchemaCase kStrings[] = {
    {"Length",
     R"({"type":"string","minLength":2,"maxLength":3})",
     {{"\"ab\"", "\"é😀€\"", "\"\\n\\u00e9\"", "\"\\ud83d\\ude00a\""},
      {"\"a\"", "\"abcd\"", "\"\\n\""}}},
    {"LongLength",
     R"({"type":"string","maxLength":300})",
     {{"\"\"", "\"" + std::string(300, 'a') + "\""}, {"\"" + std::string(301, 'a') + "\""}}},
    {"Pattern",
     R"({"type":"string","pattern":"^[a-z]+\\d$"})",
     {{"\"ab1\""}, {"\"1\"", "\"ab12\""}}},
    {"PatternAnywhere",
     R"({"type":"string","pattern":"ab"})",
     {{"\"ab\"", "\"xxabyy\"", "\"\\nab\""}, {"\"a b\"", "\"\""}}},
    {"PatternWithQuotes",
     R"({"type":"string","pattern":"^[\"\\\\\n]+$"})",
     {{R"("\"")", R"("\\\n")"}, {R"("a")", "\"\\\"", "\"\n\""}}},
    {"PatternAndLength",
     R"({"type":"string","pattern":"^a+$","minLength":2,"maxLength":4})",
     {{"\"aa\"", "\"aaaa\""}, {"\"a\"", "\"aaaaa\"", "\"ab\""}}},
    {"PatternAndLongLength",
     R"({"type":"string","pattern":"^[a-zé]+$","minLength":3,"maxLength":3000})",
     {{"\"aéa\"", "\"" + std::string(3000, 'a') + "\""},
      {"\"aé\"", "\"" + std::string(3001, 'a') + "\""}}},
    {"PatternAndLeastLength",
     R"({"type":"string","pattern":"^a|\\n","minLength":3})",
     {{"\"abc\"", "\"x\\n\\n\"", "\"abcdefgh\""}, {"\"ab\"", "\"\\n\\n\"", "\"xyz\""}}},
    {"TwoPatterns",
     R"({"type":"string","pattern":"^a","allOf":[{"pattern":"b$"}]})",
     {{"\"ab\"", "\"axb\""}, {"\"a\"", "\"b\""}}},
};

const SchemaCase kFormats[] = {
    {"Date",
     R"({"type":"string","format":"date"})",
     {{"\"2024-02-29\"", "\"1999-12-31\"", "\"2000-02-29\""},
      {"\"2023-02-29\"", "\"1900-02-29\"", "\"2024-13-01\"", "\"2024-04-31\"", "\"0000-01-01\""}}},
    {"Time",
     R"({"type":"string","format":"time"})",
     {{"\"23:59:59Z\"", "\"00:00:00.123+05:30\""}, {"\"24:00:00Z\"", "\"10:00\""}}},
    {"DateTime",
     R"({"type":"string","format":"date-time"})",
     {{"\"2024-05-06T07:08:09Z\""}, {"\"2024-05-06\"", "\"2024-05-06 07:08:09Z\""}}},
    {"Duration",
     R"({"type":"string","format":"duration"})",
     {{"\"P1Y2M3DT4H5M6S\"", "\"PT5M\"", "\"P3W\"", "\"P1D\""}, {"\"P\"", "\"PT\"", "\"P1H\""}}},
    {"Uuid",
     R"({"type":"string","format":"uuid"})",
     {{"\"01234567-89ab-cdef-0123-456789ABCDEF\""}, {"\"0123\""}}},
    {"Email",
     R"({"type":"string","format":"email"})",
     {{"\"ann.lee+x@mail.example.org\""}, {"\"ann\"", "\"@b.c\"", "\"a@b\""}}},
    {"Ipv4",
     R"({"type":"string","format":"ipv4"})",
     {{"\"0.0.0.0\"", "\"255.10.9.199\""}, {"\"256.1.1.1\"", "\"1.2.3\"", "\"01.2.3.4\""}}},
    {"Ipv6",
     R"({"type":"string","format":"ipv6"})",
     {{"\"::\"", "\"::1\"", "\"1::\"", "\"fe80::1:2\"", "\"1:2:3:4:5:6:7:8\"",
       "\"1:2:3:4:5:6:7::\""},
      {"\":\"", "\"1:2\"", "\"1::2::3\"", "\"1:2:3:4:5:6:7:8:9\"", "\"1:2:3:4:5:6:7:8::\""}}},
    {"Hostname",
     R"({"type":"string","format":"hostname"})",
     {{"\"example.com\"", "\"a\"", "\"a-b.c\""}, {"\"-a\"", "\"a-\"", "\"a..b\"", "\"\""}}},
    {"Uri",
     R"({"type":"string","format":"uri"})",
     {{"\"https://example.com:80/a/b?c=d#e\"", "\"http://a\""},
      {"\"example.com\"", "\"http://\""}}},
};

const SchemaCase kArrays[] = {
    {"Items",
     R"({"type":"array","items":{"type":"integer"}})",
     {{"[]", "[1]", "[1, 2,3]"}, {"[\"a\"]", "[1,]", "[,1]", "[1 2]"}}},
    {"MinAndMaxItems",
     R"({"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3})",
     {{"[1,2]", "[1,2,3]"}, {"[]", "[1]", "[1,2,3,4]"}}},
    {"NoItems", R"({"type":"array","maxItems":0})", {{"[]"}, {"[1]"}}},
    {"EnormousMaxItems",
     R"({"type":"array","items":{"enum":[1]},"minItems":1,"maxItems":1e9})",
     {{"[1]", "[1,1,1,1,1,1,1,1,1,1]"}, {"[]"}}},
    {"MinItemsOfAny", R"({"type":"array","minItems":3})", {{"[1,\"a\",{}]"}, {"[1,2]"}}},
    {"PrefixItems",
     R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}]})",
     {{"[]", "[1]", "[1,\"a\"]"}, {"[\"a\"]", "[1,\"a\",2]"}}},
    {"PrefixItemsAndItems",
     R"({"type":"array","prefixItems":[{"enum":[1]},{"enum":[2]}],"items":{"enum":[3]},"minItems":2,"maxItems":4})",
     {{"[1,2]", "[1,2,3]", "[1,2,3,3]"}, {"[1]", "[1,2,2]", "[1,2,3,3,3]"}}},
    {"DraftFourTuple",
     R"({"type":"array","items":[{"enum":[1]}],"additionalItems":{"enum":[2]}})",
     {{"[]", "[1]", "[1,2,2]"}, {"[2]", "[1,1]"}}},
    {"FalseItem",
     R"({"type":"array","prefixItems":[{"enum":[1]},false],"items":true})",
     {{"[]", "[1]"}, {"[1,1]"}}},
    {"NestedCounts",
     R"({"type":"array","minItems":60,"items":{"type":"array","minItems":70,"items":{"enum":[1]}}})",
     {{}, {"[[1]]"}}},
};

const SchemaCase kObjects[] = {
    {"RequiredAndOptional",
     R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"null"},"c":{"type":"null"}},"required":["b"]})",
     {{R"({"b":null})", R"({"a": 1, "b": null, "c": null})", R"({"a":1,"b":null})"},
      {"{}", R"({"a":1})", R"({"b":null,"a":1})", R"({"b":null,"b":null})",
       R"({"b":null,"d":1})"}}},
    {"AllOptional",
     R"({"type":"object","properties":{"a":{"enum":[1]},"b":{"enum":[2]}}})",
     {{"{}", "{ }", R"({"a":1})", R"({"b":2})", R"({"a":1,"b":2})"},
      {R"({,"b":2})", R"({"a":1,})"}}},
    {"AdditionalProperties",
     R"({"type":"object","properties":{"ab":{"enum":[1]}},"additionalProperties":{"enum":[2]}})",
     {{"{}", R"({"ab":1,"abc":2,"a":2})", R"({"x":2,"y":2})"},
      {R"({"ab":2})", R"({"x":1})", R"({"x":2,"ab":1})", R"({"ab":1,"\u0061b":2})"}}},
    {"Closed",
     R"({"type":"object","properties":{"a":true},"additionalProperties":false})",
     {{"{}", R"({"a":[]})"}, {R"({"b":1})"}}},
    {"OpenByTrue",
     R"({"type":"object","properties":{"a":{"enum":[1]}},"additionalProperties":true})",
     {{R"({"a":1,"b":{}})"}, {R"({"a":2})"}}},
    {"MapOfType",
     R"({"type":"object","additionalProperties":{"type":"integer"}})",
     {{"{}", R"({"\u00e9":1,"b":2})"}, {R"({"a":"b"})"}}},
    {"PatternProperties",
     R"({"type":"object","patternProperties":{"^a":{"enum":[1]},"b$":{"enum":[2]}},"additionalProperties":false})",
     {{"{}", R"({"ax":1,"xb":2})"}, {R"({"ax":2})", R"({"ab":1})", R"({"c":1})"}}},
    {"DeclaredAndPattern",
     R"({"type":"object","properties":{"ax":{"minimum":5}},"patternProperties":{"^a":{"type":"integer","maximum":9}},"required":["ax"]})",
     {{R"({"ax":7})", R"({"ax":5,"ay":1})"}, {R"({"ax":1})", R"({"ax":10})", R"({"ax":7,"b":1})"}}},
    {"PropertyNames",
     R"({"type":"object","propertyNames":{"pattern":"^[a-c]+$","maxLength":2},"additionalProperties":{"enum":[1]}})",
     {{"{}", R"({"ab":1,"c":1})"}, {R"({"abc":1})", R"({"d":1})"}}},
    {"PropertyNamesOfDeclared",
     R"({"type":"object","properties":{"a":{"enum":[1]},"b":{"enum":[1]}},"propertyNames":{"enum":["a"]}})",
     {{"{}", R"({"a":1})"}, {R"({"b":1})"}}},
    {"RequiredButNotDeclared",
     R"({"type":"object","required":["a"],"properties":{"b":{"enum":[1]}}})",
     {{R"({"a":{}})", R"({"b":1,"a":2})"}, {"{}", R"({"b":1})"}}},
    {"MinProperties",
     R"({"type":"object","minProperties":2,"properties":{"a":{"enum":[1]},"b":{"enum":[1]},"c":{"enum":[1]}}})",
     {{R"({"a":1,"b":1})", R"({"a":1,"c":1})", R"({"a":1,"b":1,"c":1})"}, {"{}", R"({"b":1})"}}},
    {"MaxProperties",
     R"({"type":"object","maxProperties":2,"properties":{"a":{"enum":[1]},"b":{"enum":[1]}},"additionalProperties":{"enum":[1]}})",
     {{"{}", R"({"a":1,"b":1})", R"({"a":1,"x":1})", R"({"x":1,"y":1})"},
      {R"({"a":1,"b":1,"c":1})", R"({"x":1,"y":1,"z":1})"}}},
    {"MinPropertiesOfMap", R"({"type":"object","minProperties":1})", {{R"({"a":1})"}, {"{}"}}},
    {"EscapedNames",
     R"({"type":"object","properties":{"a\"b/~":{"enum":[1]}},"required":["a\"b/~"]})",
     {{R"({"a\"b/~":1})"}, {R"({"ab":1})"}}},
    {"FalseProperty",
     R"({"type":"object","properties":{"a":false,"b":{"enum":[1]}}})",
     {{"{}", R"({"b":1})"}, {R"({"a":1})"}}},
    {"ObjectByKeywords", R"({"properties":{"a":{"enum":[1]}}})", {{R"({"a":1})"}, {"1", "[]"}}},
};

const SchemaCase kCombinations[] = {
    {"AnyOf",
     R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
     {{"1", "\"a\""}, {"\"ab\"", "null"}}},
    {"AnyOfBesideKeywords",
     R"({"type":"object","properties":{"a":{"enum":[1]},"b":{"enum":[2]}},"anyOf":[{"required":["a"]},{"required":["b"]}]})",
     {{R"({"a":1})", R"({"b":2})", R"({"a":1,"b":2})"}, {"{}"}}},
    {"OneOfOfTypes",
     R"({"oneOf":[{"type":"integer"},{"type":"string"},{"type":"null"}]})",
     {{"1", "\"a\"", "null"}, {"true"}}},
    {"OneOfByDiscriminator",
     R"({"oneOf":[{"type":"object","properties":{"kind":{"const":"a"},"x":{"type":"integer"}},"required":["kind"]},
                  {"type":"object","properties":{"kind":{"const":"b"}},"required":["kind"]}]})",
     {{R"({"kind":"a","x":1})", R"({"kind":"b"})"}, {R"({"kind":"b","x":1})", "{}"}}},
    {"OneOfByRange",
     R"({"oneOf":[{"type":"integer","maximum":3},{"type":"integer","minimum":8}]})",
     {{"3", "8"}, {"5"}}},
    {"AllOf",
     R"({"allOf":[{"type":"object","properties":{"a":{"enum":[1]}},"required":["a"]},
                           {"properties":{"b":{"enum":[2]}},"required":["b"]}]})",
     {{R"({"a":1,"b":2})"}, {R"({"a":1})", R"({"b":2})"}}},
    {"AllOfSameProperty",
     R"({"allOf":[{"type":"object","properties":{"a":{"minimum":3}}},{"properties":{"a":{"type":"integer","maximum":5}}}]})",
     {{"{}", R"({"a":4})"}, {R"({"a":2})", R"({"a":6})"}}},
    {"AllOfAnyOf",
     R"({"allOf":[{"anyOf":[{"enum":[1,2]},{"enum":["a"]}]},{"anyOf":[{"type":"string"},{"enum":[2,3]}]}]})",
     {{"2", "\"a\""}, {"1", "3"}}},
    {"AllOfClosed",
     R"({"allOf":[{"type":"object","properties":{"a":{"enum":[1]}},"additionalProperties":false},{"properties":{"b":{"enum":[1]}}}]})",
     {{"{}", R"({"a":1})"}, {R"({"b":1})"}}},
    {"Ref",
     R"({"$defs":{"n":{"type":"integer"}},"type":"array","items":{"$ref":"#/$defs/n"}})",
     {{"[1,2]"}, {"[\"a\"]"}}},
    {"RefWithEscapes",
     R"({"definitions":{"a/b~c d":{"enum":[1]}},"$ref":"#/definitions/a~1b~0c%20d"})",
     {{"1"}, {"2"}}},
    {"RefBesideKeywords",
     R"({"$defs":{"n":{"type":"integer","minimum":3}},"$ref":"#/$defs/n","maximum":5})",
     {{"3", "5"}, {"2", "6"}}},
    {"RecursiveTree",
     R"({"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["v","next"]})",
     {{R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
      {R"({"v":1})", R"({"v":1,"next":{}})"}}},
    {"MutualRecursion",
     R"({"$defs":{"a":{"type":"array","items":{"$ref":"#/$defs/b"}},"b":{"type":"object","properties":{"x":{"$ref":"#/$defs/a"}}}},"$ref":"#/$defs/a"})",
     {{"[]", R"([{},{"x":[{}]}])"}, {"{}", "[[]]"}}},
    {"OptionalEndlessProperty",
     R"({"$defs":{"e":{"type":"object","properties":{"e":{"$ref":"#/$defs/e"}},"required":["e"]}},"type":"object","properties":{"a":{"enum":[1]},"e":{"$ref":"#/$defs/e"}}})",
     {{"{}", R"({"a":1})"}, {R"({"e":{}})"}}},
};

std::string case_name(const ::testing::TestParamInfo<SchemaCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Types, JsonSchemaGrammar, ::testing::ValuesIn(kTypes), case_name);
INSTANTIATE_TEST_SUITE_P(Values, JsonSchemaGrammar, ::testing::ValuesIn(kValues), case_name);
INSTANTIATE_TEST_SUITE_P(Numbers, JsonSchemaGrammar, ::testing::ValuesIn(kNumbers), case_name);
INSTANTIATE_TEST_SUITE_P(Strings, JsonSchemaGrammar, ::testing::ValuesIn(kStrings), case_name);
INSTANTIATE_TEST_SUITE_P(Formats, JsonSchemaGrammar, ::testing::ValuesIn(kFormats), case_name);
INSTANTIATE_TEST_SUITE_P(Arrays, JsonSchemaGrammar, ::testing::ValuesIn(kArrays), case_name);
INSTANTIATE_TEST_SUITE_P(Objects, JsonSchemaGrammar, ::testing::ValuesIn(kObjects), case_name);
INSTANTIATE_TEST_SUITE_P(Combinations, JsonSchemaGrammar, ::testing::ValuesIn(kCombinations),
                         case_name);

struct BadSchema {
  const char* name;
  std::string schema;
  const char* where;
  ErrorKind kind = ErrorKind::invalid_input;  // unsupported: a limit
};
void PrintTo(const BadSchema& bad, std::ostream* out) { *out << bad.schema.substr(0, 200); }

class BadSchemas : public ::testing::TestWithParam<BadSchema> {};

TEST_P(BadSchemas, AreRefusedWithTheirPlace) {
  EXPECT_TRUE(throws_error(GetParam().kind, {GetParam().where},
                           [] { compile_json_schema(GetParam().schema); }));
}

std::string nested(const std::string& open, const std::string& inside, const std::string& close,
                   int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += open;
  text += inside;
  for (int i = 0; i < times; ++i) text += close;
  return text;
}

/// allOf of allOf of ..., each naming the next twice: 2^30 ways to walk.
std::string doubling() {
  std::string defs;
  for (int i = 0; i < 30; ++i)
    defs += R"("d)" + std::to_string(i) + R"(":{"allOf":[{"$ref":"#/$defs/d)" +
            std::to_string(i + 1) + R"("},{"$ref":"#/$defs/d)" + std::to_string(i + 1) + R"("}]},)";
  return R"({"$defs":{)" + defs + R"("d30":{"not":{}}},"$ref":"#/$defs/d0"})";
}

/// A product of alternatives that no one can write out.
std::string many_products() {
  std::string all;
  for (int i = 0; i < 40; ++i)
    all += std::string(i == 0 ? "" : ",") + R"({"anyOf":[{"minLength":)" + std::to_string(i) +
           R"(},{"maxLength":)" + std::to_string(100 + i) + R"(},{"pattern":"a)" +
           std::to_string(i) + R"("}]})";
  return R"({"type":"string","allOf":[)" + all + "]}";
}

const BadSchema kBadSchemas[] = {
    {"NoJson", "{", "no JSON"},
    {"NoUtf8", "\"\xff\"", "no JSON"},
    {"NoSchema", "3", "an object or a boolean"},
    {"TwiceAKey", R"({"properties":{"a":{"type":"null","type":"null"}}})",
     "\"/properties/a/type\""},
    {"TooDeep", nested("{\"items\":", "{}", "}", 100), "nested deeper than 64",
     ErrorKind::unsupported},
    {"TooLong", R"({"title":")" + std::string(300000, 'a') + "\"}", "bytes",
     ErrorKind::unsupported},
    {"UnknownType", R"({"items":{"type":"strin"}})", "\"/items/type\""},
    {"TypeOfWrongType", R"({"type":3})", "\"/type\""},
    {"EnumOfWrongType", R"({"enum":3})", "\"/enum\""},
    {"PropertiesOfWrongType", R"({"properties":[]})", "\"/properties\""},
    {"PropertyOfWrongType", R"({"properties":{"a":1}})", "\"/properties/a\""},
    {"NegativeLength", R"({"minLength":-1})", "\"/minLength\""},
    {"FractionalLength", R"({"maxItems":1.5})", "\"/maxItems\""},
    {"HugeMinItems", R"({"minItems":1e12})", "\"/minItems\""},
    {"BoundOfWrongType", R"({"minimum":"1"})", "\"/minimum\""},
    {"HugeNumber", R"({"minimum":1e500})", "JSON"},
    {"LongNumber", "{\"minimum\":0." + std::string(500, '3') + "}", "\"/minimum\""},
    {"MultipleOfZero", R"({"multipleOf":0})", "\"/multipleOf\""},
    {"MultipleOfManyDigits", R"({"multipleOf":1234567890.5})", "\"/multipleOf\""},
    {"BadPattern", R"j({"properties":{"a":{"pattern":"(?=x)"}}})j", "\"/properties/a/pattern\""},
    {"BadPatternProperty", R"({"patternProperties":{"[":{}}})", "\"/patternProperties/[\""},
    {"UnknownFormat", R"({"format":"zip-code"})", "\"/format\""},
    {"EmptyAnyOf", R"({"anyOf":[]})", "\"/anyOf\""},
    {"Not", R"({"properties":{"a":{"not":{}}}})", "\"/properties/a/not\""},
    {"If", R"({"if":true})", "\"/if\""},
    {"UniqueItems", R"({"type":"array","uniqueItems":true})", "\"/uniqueItems\""},
    {"Contains", R"({"contains":{}})", "\"/contains\""},
    {"DependentRequired", R"({"dependentRequired":{}})", "\"/dependentRequired\""},
    {"UnevaluatedProperties", R"({"unevaluatedProperties":false})", "\"/unevaluatedProperties\""},
    {"OneOfThatOverlaps", R"({"oneOf":[{"type":"integer"},{"minimum":3}]})", "\"/oneOf\""},
    {"OneOfOptionalDiscriminator",
     R"({"oneOf":[{"properties":{"k":{"const":1}}},{"properties":{"k":{"const":2}}}]})",
     "\"/oneOf\""},
    {"RemoteRef", R"({"$ref":"https://example.com/a.json"})", "\"/$ref\""},
    {"DanglingRef", R"({"items":{"$ref":"#/$defs/a"}})", "\"/items/$ref\""},
    {"RefToNoSchema", R"({"$ref":"#/title","title":"a"})", "\"/title\""},
    {"RefToItself", R"({"$ref":"#"})", "refers to itself"},
    {"RefsInACircle",
     R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"allOf":[{"$ref":"#/$defs/a"}]}},"$ref":"#/$defs/a"})",
     "refers to itself"},
    {"AnyOfOfItself", R"({"anyOf":[{"$ref":"#"}]})", "no text"},
    {"NeverEnding", R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
     "no text"},
    {"False", "false", "no text"},
    {"Contradiction", R"({"type":"string","minLength":3,"maxLength":2})", "no text"},
    {"EmptyEnum", R"({"enum":[]})", "no text"},
    {"NestedId", R"({"items":{"$id":"x"}})", "\"/items/$id\""},
    {"Doubling", doubling(), "/not\""},
    {"ManyProducts", many_products(), "more than", ErrorKind::unsupported},
    {"MultipleOfTooMany", R"({"type":"integer","multipleOf":99999999})", "more than",
     ErrorKind::unsupported},
    {"HugeMaxProperties", R"({"type":"object","minProperties":1000000,"properties":{"a":{}}})",
     "more than", ErrorKind::unsupported},
};

INSTANTIATE_TEST_SUITE_P(All, BadSchemas, ::testing::ValuesIn(kBadSchemas),
                         [](const auto& bad) { return std::string(bad.param.name); });

}  // namespace
}  // namespace veloz::grammar
