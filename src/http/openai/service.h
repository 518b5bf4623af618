// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "api/loaded_model.h"
#include "http/metrics.h"
#include "http/openai/context.h"
#include "http/openai/service_options.h"
#include "http/openai/submission.h"
#include "http/openai/work_pool.h"
#include "http/router.h"

namespace veloz::http::openai {

/// The OpenAI protocol over one model. Requests are read on threads of its own, events of the
/// engine are answered on the connections' I/O threads. The model and the metrics outlive it; it
/// outlives the server whose router holds its handlers.
class Service {
 public:
  /// Throws Error for a chat template that is none.
  Service(api::LoadedModel& model, Metrics& metrics, const ServiceOptions& options);

  /// /v1/models, /v1/models/*, /v1/chat/completions, /v1/completions, /tokenize, /detokenize,
  /// /openapi.json.
  void add_routes(Router& router);
  const SamplingDefaults& defaults() const { return context_.defaults; }

 private:
  using Work = std::function<void(const std::shared_ptr<net::Exchange>&)>;
  /// A handler that does `work` on the pool, for a body of JSON.
  net::Handler pooled(Work work);

  Context context_;
  Submitter submitter_;
  WorkPool pool_;  // last: its threads use all the others
};

}  // namespace veloz::http::openai
