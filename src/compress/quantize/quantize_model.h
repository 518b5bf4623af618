// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "checkpoint/write_checkpoint.h"
#include "compress/machine.h"
#include "compress/quantize/calibration_data.h"
#include "compress/quantize/quantize_layer.h"
#include "compress/quantize/recipe.h"

namespace veloz::compress {

struct QuantizeOptions {
  std::filesystem::path model;   // directory in Hugging Face layout
  std::filesystem::path output;  // directory to write
  RecipeOptions recipe;
  CalibrationOptions calibration;
  checkpoint::QuantFormat format = checkpoint::QuantFormat::compressed_tensors;
  /// Modules that stay as they are: names in which '*' stands for any characters.
  std::vector<std::string> kept;
  bool includes_lm_head = false;
  bool quantizes_kv_cache = false;  // fp8_e4m3 with a scale for each layer's keys and values
  /// Drop what an earlier, interrupted run left, whatever it was.
  bool restarts = false;
  bool replaces_existing = false;
};

/// The linears of one input, as `auto` decides on them: together, so that they stay one product.
struct GroupChoice {
  std::vector<std::string> modules;
  int64_t original_bytes = 0;
  std::vector<int64_t> stored_bytes;  // by treatment
  std::vector<double> output_error;   // by treatment
};

/// For each group the treatment it gets; nothing: it stays as it was.
using Assignment = std::vector<std::optional<size_t>>;

/// Quantizes a model layer by layer: peak memory is one layer in fp32 with its statistics, and the
/// hidden states of the calibration data. What is finished is kept beside the output, in
/// "<output>.unfinished", until `clean_up`.
class QuantizeJob {
 public:
  /// Reads everything that can be wrong, before any work is done. Throws Error: invalid_input for
  /// options, data, or a group that does not divide a linear's columns; also where "<output>"
  /// exists or "<output>.unfinished" is of another command.
  QuantizeJob(const QuantizeOptions& options, const Machine& machine);
  ~QuantizeJob();
  QuantizeJob(const QuantizeJob&) = delete;
  QuantizeJob& operator=(const QuantizeJob&) = delete;

  /// Observes and quantizes the layers that are not finished. `should_stop` (may be empty) is asked
  /// now and then; true throws Error(cancelled), and what is finished stays.
  void calibrate(const ProgressSink& progress, const std::function<bool()>& should_stop);
  /// Layers that were there already.
  int64_t num_resumed_layers() const;

  // After `calibrate`.
  const std::vector<Treatment>& treatments() const;
  const std::vector<GroupChoice>& groups() const;
  /// Every group gets the first treatment.
  Assignment smallest() const;
  /// What the assignment does, linear by linear in the order of the model.
  std::vector<LinearReport> reports(const Assignment& assignment) const;
  /// Writes the checkpoint to `directory`, whatever is there.
  void write(const Assignment& assignment, const std::filesystem::path& directory,
             const ProgressSink& progress) const;
  /// Moves a directory that was written to the output.
  void publish(const std::filesystem::path& written) const;

  /// Linears that stay as they were.
  std::vector<std::string> kept(const Assignment& assignment) const;
  int64_t num_calibration_texts() const;
  int64_t num_calibration_tokens() const;
  std::filesystem::path work_directory() const;
  /// Removes the work directory.
  void clean_up() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace veloz::compress
