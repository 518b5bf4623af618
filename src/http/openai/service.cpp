// SPDX-License-Identifier: Apache-2.0
#include "http/openai/service.h"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include "http/openai/endpoints.h"
#include "http/openai/error_response.h"
#include "http/openai/openapi.h"
#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

constexpr size_t kMaxWaitingRequests = 4096;  // that were not read yet
constexpr std::string_view kModelsPath = "/v1/models/";

bool is_json(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  constexpr std::string_view kJson = "application/json";
  const size_t end = type.find_last_not_of(" \t");
  const std::string_view trimmed = type.substr(0, end + 1);
  return trimmed.size() == kJson.size() &&
         std::equal(trimmed.begin(), trimmed.end(), kJson.begin(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

void check_content_type(const net::Request& request) {
  const auto type = request.header("content-type");
  if (!type || is_json(*type)) return;
  throw RequestError({.status = 415},
                     fmt::format("the content type is \"{}\", not \"application/json\"", *type),
                     "send JSON with the header Content-Type: application/json");
}

}  // namespace

Service::Service(api::LoadedModel& model, Metrics& metrics, const ServiceOptions& options)
    : context_(model, options),
      submitter_(context_, metrics, options.grammars),
      pool_(options.num_threads, kMaxWaitingRequests) {}

net::Handler Service::pooled(Work work) {
  return [this, work = std::move(work)](const std::shared_ptr<net::Exchange>& exchange) {
    const auto task = [exchange, work] {
      try {
        check_content_type(exchange->request());
        work(exchange);
      } catch (...) {
        exchange->respond(error_response_of(std::current_exception()));
      }
    };
    if (!pool_.try_submit(task))
      exchange->respond(error_response_of(RequestError(
          {.status = 503},
          fmt::format("{} requests wait to be read, which is the limit", kMaxWaitingRequests))));
  };
}

void Service::add_routes(Router& router) {
  const Context& context = context_;
  router.add("POST", "/v1/chat/completions", pooled([this](const auto& exchange) {
               complete_chat(context_, submitter_, exchange);
             }));
  router.add("POST", "/v1/completions", pooled([this](const auto& exchange) {
               complete_text(context_, submitter_, exchange);
             }));
  router.add("POST", "/tokenize", pooled([&context](const auto& exchange) {
               exchange->respond(tokenize(context, exchange->request()));
             }));
  router.add("POST", "/detokenize", pooled([&context](const auto& exchange) {
               exchange->respond(detokenize(context, exchange->request()));
             }));
  router.add("GET", "/v1/models",
             [&context](const auto& exchange) { exchange->respond(list_models(context)); });
  router.add("GET", "/v1/models/*", [&context](const auto& exchange) {
    try {
      exchange->respond(show_model(context, exchange->request().path.substr(kModelsPath.size())));
    } catch (const Error& e) {
      exchange->respond(error_response_of(e));
    }
  });
  router.add("GET", "/openapi.json",
             [](const auto& exchange) { exchange->respond({.body = openapi_document()}); });
}

}  // namespace veloz::http::openai
