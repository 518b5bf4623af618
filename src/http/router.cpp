// SPDX-License-Identifier: Apache-2.0
#include "http/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "http/errors.h"

namespace veloz::http {
namespace {

bool fits(std::string_view pattern, std::string_view path) {
  if (!pattern.ends_with("/*")) return pattern == path;
  pattern.remove_suffix(1);
  return path.size() > pattern.size() && path.starts_with(pattern);
}

}  // namespace

void Router::add(std::string method, std::string path, net::Handler handler) {
  routes_.push_back({std::move(method), std::move(path), std::move(handler)});
}

void Router::handle(std::shared_ptr<net::Exchange> exchange) const {
  const net::Request& request = exchange->request();
  // The transport leaves the body out of what answers HEAD.
  const std::string_view method =
      request.method == "HEAD" ? "GET" : std::string_view(request.method);
  std::string allow;
  for (const Route& route : routes_) {
    if (!fits(route.path, request.path)) continue;
    if (route.method == method) return route.handler(std::move(exchange));
    allow += (allow.empty() ? "" : ", ") + route.method;
    if (route.method == "GET") allow += ", HEAD";
  }
  if (allow.empty())
    return exchange->respond(
        error_response(404, fmt::format("there is nothing at \"{}\"", request.path)));
  net::Response response = error_response(
      405, fmt::format("\"{}\" does not take {}, only {}", request.path, request.method, allow));
  response.headers.emplace_back("Allow", allow);
  exchange->respond(std::move(response));
}

}  // namespace veloz::http
