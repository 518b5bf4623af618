// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/calibration_data.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "base/files.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::compress {
namespace {

namespace fs = std::filesystem;

class Calibration : public testing::Test {
 protected:
  static fs::path model(const char* name) { return fs::path(VELOZ_MODELS_DIR) / name; }

  CalibrationData load(const CalibrationOptions& options, const char* name = "tiny-llama") const {
    return load_calibration_data(options, text::load_text_files(model(name)),
                                 checkpoint::load_model_config(model(name)));
  }
  fs::path write(const std::string& name, const std::string& text) const {
    write_text_file(directory_.path() / name, text);
    return directory_.path() / name;
  }

  const test::TempDirectory directory_;
};

std::string repeat(const std::string& text, int count) {
  std::string repeated;
  for (int i = 0; i < count; ++i) repeated += text;
  return repeated;
}

TEST_F(Calibration, ReadsTheDataOfBothBundledModels) {
  for (const char* name : {"tiny-llama", "tiny-gptj"}) {
    const CalibrationData data = load({.files = {model(name) / "calib.jsonl"}}, name);
    EXPECT_EQ(data.texts.size(), 128u) << name;
    EXPECT_GT(data.num_tokens(), 8000) << name;
  }
}

TEST_F(Calibration, DrawsTheSameTextsForASeedAndOthersForAnother) {
  CalibrationOptions options{.files = {model("tiny-llama") / "calib.jsonl"}, .num_samples = 20};
  const CalibrationData first = load(options);
  EXPECT_EQ(first.texts.size(), 20u);
  EXPECT_EQ(load(options).digest(), first.digest());
  options.seed = 1;
  EXPECT_NE(load(options).digest(), first.digest());
}

TEST_F(Calibration, PlainLinesAndTextFilesAreReadToo) {
  const fs::path lines =
      write("a.jsonl", repeat("{\"text\": \"The goat in the garden likes music.\"}\n", 60));
  const CalibrationData of_lines = load({.files = {lines}});
  EXPECT_EQ(of_lines.texts.size(), 60u);
  const fs::path text = write("b.txt", repeat("The goat in the garden likes music. ", 200));
  const CalibrationData of_text = load({.files = {text}, .max_length = 64});
  EXPECT_GT(of_text.texts.size(), 10u);
  for (const auto& tokens : of_text.texts) EXPECT_LE(tokens.size(), 64u);
}

TEST_F(Calibration, LongTextsAreCutOff) {
  const CalibrationData data =
      load({.files = {model("tiny-llama") / "calib.jsonl"}, .max_length = 32});
  for (const auto& tokens : data.texts) EXPECT_LE(tokens.size(), 32u);
}

TEST_F(Calibration, ItemsLongerThanTheModelTakesAreCutOffToo) {
  const std::string item = R"({"prompt": ")" + repeat("The goat in the garden likes music. ", 300) +
                           R"(", "reference": "It does."})" + "\r\n\r\n";
  const CalibrationData data =
      load({.files = {write("long.jsonl", repeat(item, 2))}, .max_length = 5000});
  ASSERT_EQ(data.texts.size(), 2u);
  for (const auto& tokens : data.texts) EXPECT_EQ(tokens.size(), 1024u);  // the model's positions
}

TEST_F(Calibration, TooLittleDataIsRefusedWithWhatWouldHelp) {
  const fs::path file = write("a.jsonl", "{\"text\": \"short\"}\n");
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input,
                                 {"tokens in 1 texts", "at least 512", "--num-samples"},
                                 [&] { load({.files = {file}}); }));
}

TEST_F(Calibration, BadFilesAreNamed) {
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--calibration"}, [&] { load({}); }));
  EXPECT_TRUE(test::throws_error(ErrorKind::not_found, {"nothing.jsonl"},
                                 [&] { load({.files = {"nothing.jsonl"}}); }));
  const fs::path file = write("a.jsonl", "{\"text\": \"fine\"}\n{\"text\": 3}\n");
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"a.jsonl, line 2", "\"text\""},
                                 [&] { load({.files = {file}}); }));
}

TEST_F(Calibration, BatchesHoldWholeTextsInOrder) {
  const CalibrationData data = load({.files = {model("tiny-llama") / "calib.jsonl"}});
  int64_t num_tokens = 0;
  size_t next = 0;
  for (const TextBatch& batch : make_batches(data)) {
    EXPECT_LE(batch.num_tokens(), kBatchTokens);
    for (const auto& text : batch.texts) EXPECT_EQ(text.data(), data.texts[next++].data());
    num_tokens += batch.num_tokens();
  }
  EXPECT_EQ(next, data.texts.size());
  EXPECT_EQ(num_tokens, data.num_tokens());
}

TEST_F(Calibration, ATextLongerThanABatchIsOneOfItsOwn) {
  CalibrationData data;
  data.texts = {std::vector<int32_t>(10, 1), std::vector<int32_t>(kBatchTokens + 1, 1),
                std::vector<int32_t>(10, 1)};
  EXPECT_EQ(make_batches(data).size(), 3u);
}

}  // namespace
}  // namespace veloz::compress
