// SPDX-License-Identifier: Apache-2.0
#include "cli/generation_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <string_view>

#include "cli/environment.h"

namespace veloz::cli {
namespace {

std::pair<int32_t, float> parse_bias(const std::string& text) {
  int32_t id = 0;
  const char* const end = text.data() + text.size();
  const auto [colon, error] = std::from_chars(text.data(), end, id);
  float bias = 0;
  if (error == std::errc{} && colon != end && *colon == ':') {
    const auto [rest, bias_error] = std::from_chars(colon + 1, end, bias);
    if (bias_error == std::errc{} && rest == end) return {id, bias};
  }
  throw Error(ErrorKind::invalid_input, fmt::format("--logit-bias \"{}\" is not ID:BIAS", text),
              "give a token id and a number, as in --logit-bias 42:-100");
}

EarlyStopping parse_early_stopping(const std::string& text) {
  if (text == "true") return EarlyStopping::yes;
  if (text == "false") return EarlyStopping::no;
  if (text == "never") return EarlyStopping::never;
  throw Error(ErrorKind::invalid_input, fmt::format("--early-stopping \"{}\" is not known", text),
              "it is true, false or never");
}

template <typename T>
void put(const std::optional<T>& flag, T& value) {
  if (flag) value = *flag;
}

std::string_view default_kv_cache(KvCacheSize size) {
  switch (size) {
    case KvCacheSize::of_sequences:
      return "enough for --max-num-seqs full sequences, at most half";
    case KvCacheSize::of_free_memory:
      return "enough for four times --max-num-seqs full sequences, at most four fifths";
  }
  return {};
}

}  // namespace

SamplingParams GenerationFlags::apply(SamplingParams params) const {
  put(max_tokens, params.max_tokens);
  put(min_tokens, params.min_tokens);
  put(temperature, params.temperature);
  put(top_k, params.top_k);
  put(top_p, params.top_p);
  put(min_p, params.min_p);
  put(repetition_penalty, params.repetition_penalty);
  put(presence_penalty, params.presence_penalty);
  put(frequency_penalty, params.frequency_penalty);
  put(n, params.n);
  put(num_beams, params.num_beams);
  put(length_penalty, params.length_penalty);
  put(no_repeat_ngram_size, params.no_repeat_ngram_size);
  if (seed) params.seed = seed;
  if (logprobs) params.logprobs = logprobs;
  if (prompt_logprobs) params.prompt_logprobs = prompt_logprobs;
  if (early_stopping) params.early_stopping = parse_early_stopping(*early_stopping);
  if (!stop.empty()) params.stop = stop;
  if (!bad_words.empty()) params.bad_words = bad_words;
  if (!stop_token_ids.empty()) params.stop_token_ids = stop_token_ids;
  for (const std::string& bias : logit_bias) params.logit_bias.push_back(parse_bias(bias));
  if (ignore_eos) params.ignore_eos = true;
  // A user who asks for beams gets beam search, whatever sampling the model's own defaults suggest.
  if (params.num_beams > 1 && !temperature) {
    params.temperature = 0;
    params.top_k = 0;
    params.top_p = 1;
    params.min_p = 0;
  }
  return params;
}

void add_generation_flags(CLI::App& verb, GenerationFlags& flags) {
  constexpr const char* kGroup = "Generation (defaults: the model's generation_config.json)";
  // One value each: a list would swallow the prompt behind it.
  const auto option = [&](const char* name, auto& value, const char* help) {
    verb.add_option(name, value, help)->group(kGroup)->allow_extra_args(false);
  };
  option("--max-tokens", flags.max_tokens, "New tokens at most");
  option("--min-tokens", flags.min_tokens, "New tokens before the end may be chosen");
  option("--temperature", flags.temperature, "0: greedy");
  option("--top-k", flags.top_k, "Choose among the k likeliest; 0: all");
  option("--top-p", flags.top_p, "Choose among the likeliest that make up this share");
  option("--min-p", flags.min_p, "Drop what is less likely than this share of the likeliest");
  option("--repetition-penalty", flags.repetition_penalty, "> 1: repeat less (prompt and output)");
  option("--presence-penalty", flags.presence_penalty, "Subtracted once from what the output has");
  option("--frequency-penalty", flags.frequency_penalty,
         "Subtracted for each time the output has it");
  option("--logit-bias", flags.logit_bias, "ID:BIAS, added to a token's logit (repeatable)");
  option("--seed", flags.seed, "Same seed, same text; otherwise drawn and reported");
  option("--stop", flags.stop, "End before this text (repeatable)");
  option("--stop-token-ids", flags.stop_token_ids, "End at this token (repeatable)");
  option("--bad-words", flags.bad_words, "Text the output must not hold (repeatable)");
  option("--n", flags.n, "Independent completions; with beams, the best n");
  option("--logprobs", flags.logprobs, "Alternatives reported for each token (with --json)");
  option("--prompt-logprobs", flags.prompt_logprobs,
         "Likewise for each token of the prompt from the second on");
  option("--num-beams", flags.num_beams, "> 1: beam search");
  option("--length-penalty", flags.length_penalty, "Beam scores are divided by length^this");
  option("--early-stopping", flags.early_stopping,
         "true, false or never, as Hugging Face defines them");
  option("--no-repeat-ngram-size", flags.no_repeat_ngram_size,
         "No run of this many tokens comes twice; 0: off");
  verb.add_flag("--ignore-eos", flags.ignore_eos, "Go on after the end of text")->group(kGroup);
}

void add_device_flags(CLI::App& verb, LLMOptions& options) {
  verb.add_option("--device", options.device,
                  "Where it runs: cpu, cuda (the first GPU), cuda:N; auto: the GPU for an engine "
                  "built for one, else the CPU")
      ->envname("VELOZ_DEVICE")
      ->capture_default_str();
  verb.add_flag("--allow-nondeterminism", options.allow_nondeterminism,
                "On a GPU, large products may go to any algorithm of cuBLASLt, not only to those "
                "with the same bits: faster, but a request's tokens can depend on its neighbours, "
                "and fp8 sums are less exact; no effect on the CPU")
      ->envname("VELOZ_ALLOW_NONDETERMINISM");
  verb.add_option("--cublaslt", options.cublaslt_directory,
                  "Directory that has libcublasLt, where it is looked for first")
      ->envname("VELOZ_CUBLASLT");
  options.tuning_directory = default_tuning_cache();
  verb.add_option("--tuning-cache", options.tuning_directory,
                  "Directory for the algorithms of cuBLASLt that were found best on this GPU; "
                  "\"\": none are kept [$XDG_CACHE_HOME/veloz/tuning]")
      ->envname("VELOZ_TUNING_CACHE");
  verb.add_option("--isa", options.isa,
                  "Force an instruction set: portable, avx2, avx2_vnni, avx512, "
                  "avx512_vnni, avx512_bf16, avx512_bf16_dot")
      ->envname("VELOZ_ISA");
  verb.add_option("--threads", options.num_threads, "Threads; 0: as many as this process may use")
      ->envname("VELOZ_THREADS")
      ->capture_default_str();
}

void add_llm_flags(CLI::App& verb, LLMOptions& options) {
  verb.add_option("--kv-cache-memory-bytes", options.kv_cache_memory_bytes,
                  fmt::format("Memory of the KV cache; 0: {} of what the machine and its cgroups "
                              "leave beside the weights, on a GPU what weights and buffers leave",
                              default_kv_cache(options.kv_cache_size)))
      ->envname("VELOZ_KV_CACHE_MEMORY_BYTES")
      ->capture_default_str();
  verb.add_option("--gpu-memory-utilization", options.gpu_memory_utilization,
                  "Share of a GPU's memory that weights, buffers and KV cache may fill")
      ->envname("VELOZ_GPU_MEMORY_UTILIZATION")
      ->capture_default_str();
  verb.add_option("--max-num-seqs", options.max_num_seqs,
                  "Sequences at once; 0: the engine's limit")
      ->envname("VELOZ_MAX_NUM_SEQS")
      ->capture_default_str();
  verb.add_option("--max-num-batched-tokens", options.max_num_batched_tokens,
                  "Tokens of one step; 0: the engine's limit")
      ->envname("VELOZ_MAX_NUM_BATCHED_TOKENS")
      ->capture_default_str();
}

}  // namespace veloz::cli
