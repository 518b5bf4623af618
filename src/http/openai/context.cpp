// SPDX-License-Identifier: Apache-2.0
#include "http/openai/context.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "http/openai/field_reader.h"
#include "http/openai/request_error.h"
#include "text/jinja/json.h"

namespace veloz::http::openai {

SamplingDefaults sampling_defaults(std::string_view generation_config,
                                   const SamplingParams& of_model) {
  SamplingDefaults defaults;
  if (generation_config.empty()) return defaults;
  const Json config = text::jinja::parse_json(generation_config, text::jinja::BigIntegers::as_real);
  SamplingParams& params = defaults.params;
  params.top_k = of_model.top_k;
  params.top_p = of_model.top_p;
  params.min_p = of_model.min_p;
  params.repetition_penalty = of_model.repetition_penalty;
  const Json* temperature = find_field(config, "temperature");
  if (temperature != nullptr && temperature->is_number())
    params.temperature = temperature->as_real();
  // Authors who rule sampling out are heard; those who say nothing get what clients expect.
  const Json* samples = find_field(config, "do_sample");
  if (samples != nullptr && samples->is_integral() && samples->as_integer() == 0)
    params.temperature = 0;
  if (find_field(config, "max_new_tokens")) defaults.max_tokens = of_model.max_tokens;
  return defaults;
}

Context::Context(api::LoadedModel& loaded, const ServiceOptions& options)
    : model(loaded),
      names(options.served_model_names),
      prompter(loaded.text(), options.chat_template),
      max_logprobs(options.max_logprobs),
      max_model_len(loaded.engine().plan().limits.max_model_len),
      created(now_s()) {
  const engine::Manifest& manifest = loaded.engine().manifest();
  if (names.empty()) names.push_back(manifest.model.name);
  defaults = options.defaults
                 ? *options.defaults
                 : sampling_defaults(manifest.model.generation_config, loaded.default_params());
  fingerprint = fmt::format("veloz-{}-{}", VELOZ_VERSION, manifest.source_hash.substr(0, 8));
}

int64_t now_s() { return static_cast<int64_t>(std::time(nullptr)); }

const std::string& Context::require_model(const std::string& name) const {
  if (name.empty()) return names.front();
  const auto known = std::find(names.begin(), names.end(), name);
  if (known != names.end()) return *known;
  throw RequestError({.param = "model", .code = "model_not_found", .status = 404},
                     fmt::format("the model \"{}\" does not exist", name),
                     fmt::format("this server has: {}", fmt::join(names, ", ")));
}

}  // namespace veloz::http::openai
