// SPDX-License-Identifier: Apache-2.0
#include "http/observed_exchange.h"

#include <utility>

namespace veloz::http {
namespace {

constexpr int kClientClosedRequest = 499;  // as nginx has it
constexpr int kInternalError = 500;

}  // namespace

ObservedExchange::ObservedExchange(std::shared_ptr<net::Exchange> inner, net::Headers headers,
                                   EndSink on_end)
    : inner_(std::move(inner)), headers_(std::move(headers)), on_end_(std::move(on_end)) {
  const net::Request& request = inner_->request();
  record_.id = request.id;
  record_.method = request.method;
  record_.path = request.path;
  record_.peer = request.peer;
  on_abort(nullptr);
}

/// What is dropped unanswered is answered with 500 by the exchange underneath.
ObservedExchange::~ObservedExchange() {
  end(record_.status == 0 ? kInternalError : kClientClosedRequest);
}

void ObservedExchange::note(const GenerationNote& note) {
  const std::lock_guard lock(mutex_);
  record_.generation = note;
}

void ObservedExchange::respond(net::Response response) {
  add_headers(response);
  const int status = response.status;
  {
    const std::lock_guard lock(mutex_);
    record_.num_bytes = static_cast<int64_t>(response.body.size());
  }
  inner_->respond(std::move(response));
  end(status);
}

void ObservedExchange::start_stream(net::Response head) {
  add_headers(head);
  {
    const std::lock_guard lock(mutex_);
    record_.status = head.status;
  }
  inner_->start_stream(std::move(head));
}

bool ObservedExchange::write(std::string_view piece) {
  if (!inner_->write(piece)) {
    end(kClientClosedRequest);
    return false;
  }
  const std::lock_guard lock(mutex_);
  record_.num_bytes += static_cast<int64_t>(piece.size());
  return true;
}

void ObservedExchange::finish() {
  inner_->finish();
  end(std::nullopt);
}

void ObservedExchange::on_abort(std::function<void()> callback) {
  inner_->on_abort([is_aborted = is_aborted_, callback = std::move(callback)] {
    *is_aborted = true;
    if (callback) callback();
  });
}

void ObservedExchange::add_headers(net::Response& response) const {
  response.headers.insert(response.headers.end(), headers_.begin(), headers_.end());
}

/// Without a status, that of the stream's head.
void ObservedExchange::end(std::optional<int> status) {
  AccessRecord record;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(has_ended_, true)) return;
    if (status) record_.status = *status;
    if (*is_aborted_) record_.status = kClientClosedRequest;
    record_.duration_s = std::chrono::duration<double>(Clock::now() - start_).count();
    record = record_;
  }
  if (on_end_) on_end_(record);
}

void note_generation(net::Exchange& exchange, const GenerationNote& note) {
  if (auto* const observed = dynamic_cast<ObservedExchange*>(&exchange)) observed->note(note);
}

}  // namespace veloz::http
