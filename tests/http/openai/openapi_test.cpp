// SPDX-License-Identifier: Apache-2.0
#include "http/openai/openapi.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace veloz::http::openai {
namespace {

using nlohmann::json;

void expect_references_resolve(const json& value, const json& document) {
  if (value.is_object() && value.contains("$ref")) {
    const json::json_pointer pointer(value["$ref"].get<std::string>().substr(1));
    EXPECT_TRUE(document.contains(pointer)) << value["$ref"];
  }
  if (value.is_structured())
    for (const json& item : value) expect_references_resolve(item, document);
}

TEST(Openapi, IsJsonWhoseReferencesResolve) {
  const json document = json::parse(openapi_document());
  EXPECT_EQ(document["openapi"], "3.1.0");
  EXPECT_EQ(document["paths"].size(), 6U);
  expect_references_resolve(document, document);
}

TEST(Openapi, SaysOfAFieldWhatTheReaderHoldsItTo) {
  const json document = json::parse(openapi_document());
  const json& fields = document["components"]["schemas"]["ChatRequest"]["properties"];
  EXPECT_EQ(fields["temperature"]["minimum"], 0.0);
  EXPECT_EQ(fields["top_p"]["exclusiveMinimum"], 0.0);
  EXPECT_EQ(fields["n"]["default"], 1);
  EXPECT_EQ(document["components"]["schemas"]["ChatRequest"]["required"],
            json::parse(R"(["messages"])"));
}

}  // namespace
}  // namespace veloz::http::openai
