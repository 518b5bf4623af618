// SPDX-License-Identifier: Apache-2.0
#include "serving/beam_golden.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace veloz::serving {
namespace {

EarlyStopping parse_early_stopping(const std::string& text) {
  if (text == "no") return EarlyStopping::no;
  if (text == "yes") return EarlyStopping::yes;
  if (text == "never") return EarlyStopping::never;
  throw std::runtime_error("early_stopping in beam.json: " + text);
}

BeamCase parse_case(const nlohmann::json& json) {
  BeamCase c;
  c.model = {.seed = json.at("model_seed"),
             .vocab_size = json.at("vocab_size"),
             .scale = json.at("scale"),
             .eos_boost = json.at("eos_boost"),
             .eos_token_ids = json.at("eos_token_ids")};
  c.prompt = json.at("prompt").get<std::vector<int32_t>>();
  c.params.num_beams = json.at("num_beams");
  c.params.n = json.at("n");
  c.params.max_tokens = json.at("max_tokens");
  c.params.min_tokens = json.at("min_tokens");
  c.params.length_penalty = json.at("length_penalty");
  c.params.early_stopping = parse_early_stopping(json.at("early_stopping"));
  c.params.no_repeat_ngram_size = json.at("no_repeat_ngram_size");
  c.params.repetition_penalty = json.at("repetition_penalty");
  for (const auto& entry : json.at("logit_bias"))
    c.params.logit_bias.emplace_back(entry.at(0), entry.at(1));
  for (const auto& output : json.at("outputs"))
    c.outputs.push_back({output.at("tokens"), output.at("score")});
  return c;
}

}  // namespace

std::vector<BeamCase> load_beam_cases() {
  std::ifstream file(VELOZ_TEST_DATA_DIR "/golden/beam/beam.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  std::vector<BeamCase> cases;
  for (const auto& json : golden.at("cases")) {
    cases.push_back(parse_case(json));
    cases.back().name = fmt::format("case {}: {}", cases.size() - 1, json.dump());
  }
  return cases;
}

}  // namespace veloz::serving
