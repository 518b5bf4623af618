// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "benchmark/arrivals.h"
#include "benchmark/dataset.h"
#include "benchmark/load_generator.h"
#include "net/client.h"
#include "text/tokenizer.h"

namespace veloz::benchmark {

struct ServingBenchmarkOptions {
  std::string base_url = "http://127.0.0.1:8000";
  std::string endpoint = {};  // empty: that of the backend
  net::Headers headers = {};  // of every request, authorization among them
  RequestFormat format = {};  // an empty model: the first one the server names
  std::optional<bool> ignore_eos =
      {};  // absent: for synthetic prompts, whose lengths are the point
  std::filesystem::path tokenizer = {};  // model directory; empty: none
  int64_t vocab_size = 1000;             // of random token ids where there is no tokenizer
  DatasetOptions dataset = {};
  ArrivalOptions arrivals = {};  // its seed is that of the data set
  int64_t num_warmups = 1;       // requests sent one by one before the clock starts
};

/// Loads an OpenAI server and measures what comes back. Rounds use prompts of their own, so that
/// none finds the last one's in the server's prefix cache (files hold what they hold).
class ServingBenchmark {
 public:
  /// Reads the data set, asks the server for its model and warms it up. Throws Error: invalid_input
  /// for options that cannot be, io where there is no server, internal where it cannot answer.
  explicit ServingBenchmark(const ServingBenchmarkOptions& options);
  ~ServingBenchmark();
  ServingBenchmark(const ServingBenchmark&) = delete;
  ServingBenchmark& operator=(const ServingBenchmark&) = delete;

  const std::string& model() const { return target_.format.model; }
  /// At another rate than the options', where it is a search. The first round is 0.
  LoadRun run(double request_rate, uint64_t round, const LoadOptions& load);

 private:
  std::vector<SampleRequest> requests(uint64_t round, int64_t num_more) const;
  void warm_up();

  const ServingBenchmarkOptions options_;
  Target target_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<PromptWriter> writer_;
  net::Client client_;
};

}  // namespace veloz::benchmark
