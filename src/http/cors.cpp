// SPDX-License-Identifier: Apache-2.0
#include "http/cors.h"

#include <algorithm>
#include <utility>

namespace veloz::http {

Cors::Cors(std::vector<std::string> allowed_origins)
    : allowed_origins_(std::move(allowed_origins)),
      allows_any_(std::ranges::find(allowed_origins_, "*") != allowed_origins_.end()) {}

bool Cors::allows(std::string_view origin) const {
  return allows_any_ || std::ranges::find(allowed_origins_, origin) != allowed_origins_.end();
}

net::Headers Cors::headers_for(const net::Request& request) const {
  if (allowed_origins_.empty()) return {};
  const auto origin = request.header("origin");
  if (!origin || !allows(*origin)) return {{"Vary", "Origin"}};
  return {{"Access-Control-Allow-Origin", allows_any_ ? "*" : std::string(*origin)},
          {"Access-Control-Expose-Headers", "x-request-id, retry-after"},
          {"Vary", "Origin"}};
}

std::optional<net::Response> Cors::preflight(const net::Request& request) const {
  const auto origin = request.header("origin");
  if (request.method != "OPTIONS" || !origin || !request.header("access-control-request-method"))
    return std::nullopt;
  net::Response response{.status = 204, .content_type = ""};
  if (!allows(*origin)) return response;
  response.headers = {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                      {"Access-Control-Allow-Headers",
                       std::string(request.header("access-control-request-headers").value_or("*"))},
                      {"Access-Control-Max-Age", "600"}};
  return response;
}

}  // namespace veloz::http
