// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/exchange.h"

namespace veloz::http {

/// An exchange without a network, that remembers how it was answered. Tasks run at once.
class FakeExchange final : public net::Exchange {
 public:
  explicit FakeExchange(net::Request request) : request_(std::move(request)) {}

  const net::Request& request() const override { return request_; }
  void respond(net::Response answer) override { response = std::move(answer); }
  void start_stream(net::Response head) override { response = std::move(head); }
  bool write(std::string_view piece) override {
    if (is_gone) return false;
    response->body += piece;
    return true;
  }
  void finish() override { is_finished = true; }
  void on_abort(std::function<void()> callback) override { abort_callback = std::move(callback); }
  void post(std::function<void()> task) override { task(); }

  std::optional<std::string> header(const std::string& name) const {
    for (const auto& [key, value] : response->headers)
      if (key == name) return value;
    return std::nullopt;
  }

  std::optional<net::Response> response;
  bool is_finished = false;
  bool is_gone = false;
  std::function<void()> abort_callback;

 private:
  net::Request request_;
};

}  // namespace veloz::http
