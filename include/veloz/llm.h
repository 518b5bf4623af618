// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "veloz/types.h"

namespace veloz {

/// How large the KV cache is where no size is given. Free is what the machine and the limits of its
/// cgroups leave beside the weights.
enum class KvCacheSize {
  of_sequences,    // enough for max_num_seqs sequences of full length, at most half of free memory
  of_free_memory,  // for four times as many, at most four fifths of it: keeps prefixes longer
};

struct LLMOptions {
  std::string device = "auto";  // cpu, cuda (the first GPU), cuda:N; auto: the GPU for an engine
                                // that was built for one, where there is one, else the CPU
  std::string isa{};    // "", or the instruction set to use: portable, avx2, avx2_vnni, avx512, ...
  int num_threads = 0;  // 0: as many as this process may use
  size_t kv_cache_memory_bytes = 0;     // 0: as kv_cache_size says, on a GPU what the rest leaves
  double gpu_memory_utilization = 0.9;  // share of a GPU's memory that weights and cache may fill
  /// Large products on a GPU may go to any algorithm of cuBLASLt, not only to those with the bits
  /// of our own kernels. A request's tokens can then depend on its neighbours, and sums of fp8
  /// codes are less exact. Nothing changes on a CPU.
  bool allow_nondeterminism = false;
  std::filesystem::path cublaslt_directory{};  // where cuBLASLt is looked for first, or ""
  /// Where the algorithms of cuBLASLt that were found best on this GPU are kept between runs, in a
  /// file for each device and version; "": they are searched for at each load.
  std::filesystem::path tuning_directory{};
  KvCacheSize kv_cache_size = KvCacheSize::of_sequences;
  int64_t max_num_seqs = 0;            // 0: the engine's limit; else at most that
  int64_t max_num_batched_tokens = 0;  // of one step, max_num_seqs or more; 0: the engine's limit
  int64_t max_prefill_chunk = 0;       // tokens of one prompt in one step; 0: no limit of its own
  SchedulingPolicy scheduling_policy = SchedulingPolicy::guaranteed_no_evict;
  bool enable_prefix_caching = true;  // prompts find the cache of what earlier ones began with
  double target_step_ms = 0;  // prompts are cut so that a step is predicted to take no longer, but
                              // what runs gets its next tokens, and one prompt 16 of its own,
                              // however long that takes; 0: no target, the highest throughput
  bool run_ahead = true;      // a step begins before the results of the one ahead are published
  int64_t max_queued_requests = 0;  // of an Executor, that wait to be admitted; 0: any number
  int64_t max_queued_tokens = 0;    // of their prompts; 0: any number
};

/// Text (tokenised with the model's special tokens, as Hugging Face's tokenizer call does) or token
/// ids.
using Prompt = std::variant<std::string, std::vector<int32_t>>;

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0;
};

/// One generated sequence.
struct Completion {
  int64_t index = 0;
  std::string text;
  std::vector<int32_t>
      token_ids;  // new tokens, the end-of-sequence token included where it was chosen
  FinishReason finish_reason = FinishReason::stop;
  std::string stop_reason;  // the stop string that matched, or ""
  double score = 0;         // beam search: sum of log-probabilities / length^length_penalty
  /// With SamplingParams::logprobs: per token the chosen one first, then the best ones.
  std::vector<std::vector<TokenLogprob>> logprobs;
};

/// Seconds on the monotonic clock, from submission.
struct Timing {
  double ttft_s = 0;   // to the first token
  double total_s = 0;  // to the end
};

struct RequestOutput {
  std::vector<int32_t> prompt_token_ids;
  /// With SamplingParams::prompt_logprobs: per prompt token from the second on that token first,
  /// then the likeliest ones in its place.
  std::vector<std::vector<TokenLogprob>> prompt_logprobs;
  std::vector<Completion> completions;  // n of them, best first for beam search
  uint64_t seed = 0;                    // given, or drawn
  Timing timing;
  std::optional<Error> error;  // this request failed; its neighbours did not
};

/// A piece of text as it is generated. Whole code points, never part of a stop string.
struct TextDelta {
  size_t request = 0;  // index into the prompts of this call
  int64_t completion = 0;
  std::string_view text;
};

/// Called from the engine's thread; return false to cancel that request.
using TextSink = std::function<bool(const TextDelta&)>;

/// Called from the engine's thread when a request (index into the prompts) has ended.
using EndSink = std::function<void(size_t request)>;

/// Asked by the calling thread several times a second while it waits; true cancels every request of
/// the call that has not ended, whether it has given text yet or not.
using StopCheck = std::function<bool()>;

/// A model ready to generate: one engine loaded on one device, with its tokenizer. Methods may be
/// called from any thread; calls share the engine's batches.
class LLM {
 public:
  /// Loads an engine directory. Throws Error: not_found, corrupt_data, unsupported, out_of_memory
  /// (with the arithmetic).
  static LLM load(const std::filesystem::path& engine, const LLMOptions& options = {});
  ~LLM();
  LLM(LLM&&) noexcept;
  LLM& operator=(LLM&&) noexcept;

  /// Generates for all prompts together, with parameters for each, and returns when all have ended,
  /// in the order of the prompts. Tokens of a request do not depend on its neighbours, unless
  /// LLMOptions::allow_nondeterminism is set. Throws Error(invalid_input) for impossible parameters
  /// or a prompt that cannot fit, and Error(unsupported) for text or bad_words where the engine has
  /// no tokenizer, before anything runs; a failure while running is in RequestOutput::error.
  std::vector<RequestOutput> generate(std::span<const Prompt> prompts,
                                      std::span<const SamplingParams> params,
                                      const TextSink& sink = {}, const EndSink& on_end = {},
                                      const StopCheck& should_stop = {});
  RequestOutput generate(const Prompt& prompt, const SamplingParams& params,
                         const TextSink& sink = {}, const StopCheck& should_stop = {});

  /// The conversation through the model's chat template, ready to be a prompt. Throws
  /// Error(unsupported) where the model has none.
  Prompt apply_chat_template(std::span<const ChatMessage> messages) const;

  /// The tokens of a text, as of a prompt given as text; and the text of tokens, special ones left
  /// out. Both throw Error(unsupported) where the engine has no tokenizer.
  std::vector<int32_t> encode(std::string_view text) const;
  std::string decode(std::span<const int32_t> token_ids) const;

  /// Sampling defaults of the checkpoint's generation_config.json.
  SamplingParams default_params() const;
  /// Longest prompt + output of one sequence.
  int64_t max_model_len() const;
  int64_t vocab_size() const;
  /// From any thread, also while `generate` runs.
  ExecutorStats stats() const;
  /// What a user should know of how it was loaded, or "": an engine for a GPU runs on the CPU.
  std::string warning() const;
  /// What was done at load that takes long the first time, a sentence each: products tuned for this
  /// GPU.
  std::vector<std::string> notices() const;
  /// "2 threads, avx512_bf16; weights 1.2 GiB, KV cache 512 MiB (8,192 tokens) ..."
  std::string description() const;

 private:
  friend class Executor;  // shares the model
  struct State;
  explicit LLM(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace veloz
