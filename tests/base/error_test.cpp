// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace veloz {
namespace {

TEST(Error, CarriesKindMessageAndHintAndGrowsContext) {
  Error error(ErrorKind::not_found, "no such tensor \"x\"", "check the name");
  error.add_context("reading a.safetensors");
  EXPECT_EQ(error.kind(), ErrorKind::not_found);
  EXPECT_EQ(error.message(), "reading a.safetensors: no such tensor \"x\"");
  EXPECT_STREQ(error.what(), "reading a.safetensors: no such tensor \"x\"");
  EXPECT_EQ(error.hint(), "check the name");
}

TEST(Error, KindsHaveNamesAndExitCodes) {
  const std::vector<std::pair<ErrorKind, std::pair<std::string, int>>> kinds = {
      {ErrorKind::invalid_input, {"invalid_input", 2}},
      {ErrorKind::not_found, {"not_found", 2}},
      {ErrorKind::unsupported, {"unsupported", 2}},
      {ErrorKind::corrupt_data, {"corrupt_data", 2}},
      {ErrorKind::out_of_memory, {"out_of_memory", 1}},
      {ErrorKind::io, {"io", 1}},
      {ErrorKind::cancelled, {"cancelled", 1}},
      {ErrorKind::internal, {"internal", 1}}};
  for (const auto& [kind, want] : kinds) {
    EXPECT_EQ(to_string(kind), want.first);
    EXPECT_EQ(exit_code(kind), want.second);
  }
}

TEST(Error, AFailedCheckSaysWhereAndWhat) {
  const int value = 3;
  EXPECT_TRUE(test::throws_error(ErrorKind::internal,
                                 {"value is 3", "value == 4", "error_test.cpp", "a bug in veloz"},
                                 [&] { VELOZ_CHECK(value == 4, "value is {}", value); }));
  EXPECT_NO_THROW(VELOZ_CHECK(value == 3, "value is {}", value));
}

}  // namespace
}  // namespace veloz
