// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/gate.h"

#include <gtest/gtest.h>

#include "support/checkpoint_files.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::checkpoint {
namespace {

TEST(Gate, IsNothingWhereNobodyEvaluated) {
  const test::TempDirectory directory;
  EXPECT_EQ(load_gate(directory.path()), std::nullopt);
}

TEST(Gate, KeepsTheReportAndReadsItsVerdict) {
  for (const char* verdict : {"PASS-99.9", "PASS-99", "FAIL", "UNGATED"}) {
    const test::TempDirectory directory;
    const std::string text = fmt::format(R"({{"verdict": "{}", "perplexity": 3.5}})", verdict);
    test::write_bytes(directory.path() / kGateFile, text);
    const std::optional<Gate> gate = load_gate(directory.path());
    ASSERT_TRUE(gate.has_value());
    EXPECT_EQ(gate->verdict, verdict);
    EXPECT_EQ(gate->text, text);
  }
}

TEST(Gate, RefusesWhatIsNoVerdict) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "no \"verdict\""},
      {"{}", "no \"verdict\""},
      {R"({"verdict": 99})", "no \"verdict\""},
      {R"({"verdict": "pass"})", "\"verdict\" is \"pass\""},
      {"{", "veloz_gate.json"}};
  for (const auto& [text, message] : cases) {
    const test::TempDirectory directory;
    test::write_bytes(directory.path() / kGateFile, text);
    EXPECT_TRUE(test::throws_error(ErrorKind::corrupt_data, {message, "veloz_gate.json"},
                                   [&] { load_gate(directory.path()); }));
  }
}

}  // namespace
}  // namespace veloz::checkpoint
