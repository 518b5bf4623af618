// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/model_config.h"
#include "compress/quantize/slice_runner.h"
#include "text/text_files.h"

namespace veloz::compress {

struct CalibrationOptions {
  /// JSONL files (a line is an object with "text", or with "prompt" or "messages" and perhaps
  /// "reference" or "answer") and text files (any other ending), which are cut into windows.
  std::vector<std::filesystem::path> files;
  int64_t num_samples = 128;  // texts that are drawn; all where there are fewer
  int64_t max_length = 1024;  // tokens of a text; the rest is cut off
  uint64_t seed = 0;
};

/// Fewer tokens than this say too little about which channels matter.
inline constexpr int64_t kMinCalibrationTokens = 512;

/// Texts in the model's tokens, drawn with the seed, in the order of the files.
struct CalibrationData {
  std::vector<std::vector<int32_t>> texts;
  int64_t num_tokens() const;
  /// Hash over all tokens.
  std::string digest() const;
};

/// Throws Error(invalid_input) naming file, line and field, for an id the model has no row for, and
/// where fewer than kMinCalibrationTokens are left.
CalibrationData load_calibration_data(const CalibrationOptions& options,
                                      const text::TextFiles& text,
                                      const checkpoint::ModelConfig& config);

/// The texts, in order, in batches of at most kBatchTokens, or one text. They refer to `data`.
inline constexpr int64_t kBatchTokens = 1024;
std::vector<TextBatch> make_batches(const CalibrationData& data);

}  // namespace veloz::compress
