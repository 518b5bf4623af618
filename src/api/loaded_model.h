// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "serving/executor.h"
#include "text/text_files.h"
#include "text/token_pieces.h"
#include "text/tokenizer.h"
#include "veloz/llm.h"

namespace veloz::api {

/// An engine loaded on a device with its executor running: what LLM, Executor and the server share.
class LoadedModel {
 public:
  /// `adjust` has the last word on the executor's options, such as the callback after steps.
  /// Throws as LLM::load.
  LoadedModel(const std::filesystem::path& engine, const LLMOptions& options,
              const std::function<void(serving::ExecutorOptions&)>& adjust = {});
  ~LoadedModel();
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  const engine::Engine& engine() const;
  const text::TextFiles& text() const;
  /// Throws Error(unsupported) where the engine has none.
  const text::Tokenizer& require_tokenizer() const;
  /// Of the tokenizer, or empty ones.
  const text::TokenPieces& pieces() const;
  /// Text through the tokenizer; ids as they are, or Error(invalid_input) for one the model lacks.
  std::vector<int32_t> tokens_of(const Prompt& prompt) const;
  /// Token sequences of SamplingParams::bad_words. Throws Error(unsupported) without a tokenizer.
  std::vector<std::vector<int32_t>> bad_words_of(const SamplingParams& params) const;
  serving::Executor& executor();
  ExecutorStats stats() const;
  /// Sampling defaults of the checkpoint's generation_config.json.
  SamplingParams default_params() const;
  const std::string& description() const;
  /// As LLM::warning.
  const std::string& warning() const;
  /// As LLM::notices.
  const std::vector<std::string>& notices() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace veloz::api
