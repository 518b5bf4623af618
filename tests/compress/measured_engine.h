// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "api/backend.h"
#include "compress/measured_model.h"
#include "support/letter_tokenizer.h"
#include "support/temp_directory.h"
#include "support/tiny_checkpoint.h"
#include "text/text_files.h"
#include "veloz/build.h"

namespace veloz::compress {

/// A tiny checkpoint built into an engine and opened, with what it is measured on. `model` is made
/// by `measure`, so that tests choose how.
class MeasuredEngine {
 public:
  explicit MeasuredEngine(const test::TinyCheckpoint& checkpoint = {},
                          BuildOptions build_options = {})
      : engine_(build_engine(checkpoint, std::move(build_options))),
        text_(text::load_text_files(engine_.tokenizer_directory())),
        backend_(api::open_cpu("", 2)) {}

  MeasuredModel measure(const MeasureOptions& options = {}) const {
    return {
        engine_, *text_.tokenizer, {*backend_.device, *backend_.registry, *backend_.pool}, options};
  }
  std::filesystem::path path() const { return directory_.path() / "engine"; }
  const text::TextFiles& text() const { return text_; }

 private:
  engine::Engine build_engine(const test::TinyCheckpoint& checkpoint, BuildOptions options) const {
    options.model = directory_.path() / "model";
    options.output = path();
    options.num_threads = 2;
    checkpoint.write(options.model);
    test::write_bytes(options.model / "tokenizer.json", test::kLetterTokenizer);
    build(options);
    return engine::Engine::open(options.output);
  }

  const test::TempDirectory directory_;
  const engine::Engine engine_;
  const text::TextFiles text_;
  const api::Backend backend_;
};

/// The same checkpoint with every linear of the MLP halved: another model of the same shape.
inline test::TinyCheckpoint damaged_checkpoint() {
  test::TinyCheckpoint checkpoint;
  for (test::FileTensor& tensor : checkpoint.tensors) {
    if (tensor.name.find("mlp") == std::string::npos) continue;
    std::vector<float> values(tensor.data.size() / sizeof(float));
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    for (float& value : values) value /= 2;
    tensor.data = test::bytes_of<float>(values);
  }
  return checkpoint;
}

}  // namespace veloz::compress
