// SPDX-License-Identifier: Apache-2.0
#include "http/openai/openapi.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

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
  expect_references_resolve(document, document);
}

TEST(Openapi, HasEveryPath) {
  const json document = json::parse(openapi_document());
  std::set<std::string> paths;
  for (const auto& [path, item] : document["paths"].items()) paths.insert(path);
  const std::set<std::string> expected = {"/v1/chat/completions",
                                          "/v1/completions",
                                          "/v1/models",
                                          "/v1/models/{model}",
                                          "/tokenize",
                                          "/detokenize",
                                          "/health",
                                          "/livez",
                                          "/readyz",
                                          "/version",
                                          "/metrics",
                                          "/openapi.json",
                                          "/debug/trace"};
  EXPECT_EQ(paths, expected);
}

TEST(Openapi, HasTheStatusesOfEachPath) {
  const json document = json::parse(openapi_document());
  const auto statuses = [&](const char* path, const char* method) {
    std::string joined;
    for (const auto& [status, response] : document["paths"][path][method]["responses"].items())
      joined += status + ' ';
    return joined;
  };
  EXPECT_EQ(statuses("/v1/completions", "post"),
            "200 400 401 404 408 413 415 417 422 429 431 500 501 503 505 ");
  EXPECT_EQ(statuses("/v1/models/{model}", "get"),
            "200 400 401 404 408 413 417 429 431 500 501 503 505 ");
  EXPECT_EQ(statuses("/health", "get"), "200 400 408 413 417 431 500 501 503 505 ");
}

TEST(Openapi, TellsTheTwoFormsOfTokenizeApart) {
  const json document = json::parse(openapi_document());
  const json& forms = document["components"]["schemas"]["TokenizeRequest"]["oneOf"];
  ASSERT_EQ(forms.size(), 2U);
  for (const json& form : forms)
    for (const char* field : {"model", "return_token_strs", "add_special_tokens"})
      EXPECT_TRUE(form["properties"].contains(field)) << field;
  EXPECT_EQ(forms[0]["required"], json::parse(R"(["prompt"])"));
  EXPECT_EQ(forms[0]["properties"]["add_special_tokens"]["default"], true);
  EXPECT_EQ(forms[1]["required"], json::parse(R"(["messages"])"));
  EXPECT_EQ(forms[1]["properties"]["add_special_tokens"]["default"], false);
}

TEST(Openapi, LimitsLists) {
  const json document = json::parse(openapi_document());
  const json& fields = document["components"]["schemas"]["ChatRequest"]["properties"];
  EXPECT_EQ(fields["stop"]["anyOf"][0]["anyOf"][1]["maxItems"], 64);
  EXPECT_EQ(fields["logit_bias"]["anyOf"][0]["maxProperties"], 1024);
  EXPECT_EQ(fields["tools"]["anyOf"][0]["maxItems"], 256);
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
