// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace veloz::net {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// One HTTP request, read whole and within the server's limits.
struct Request {
  std::string method = {};  // "GET", as sent
  std::string path = {};    // percent-decoded, without the query
  std::string query = {};   // as sent, without '?'
  Headers headers = {};
  std::string body = {};
  std::string peer = {};  // address of the client
  std::string id = {};    // x-request-id as sent (where it is fit to be echoed), or drawn

  /// First header of that name, whatever its case.
  std::optional<std::string_view> header(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  Headers headers = {};
};

/// One request and the way to answer it: with `respond`, or with `start_stream`, any number of
/// `write` and `finish`. Every method may be called from any thread and never blocks. An exchange
/// dropped unanswered is answered with 500.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;
  virtual void respond(Response response) = 0;
  /// Sends status and headers; the body follows in pieces (chunked).
  virtual void start_stream(Response head) = 0;
  /// False where the client is gone, or has read so slowly that its buffer was full: the stream is
  /// then aborted, and nothing more need be written.
  virtual bool write(std::string_view piece) = 0;
  virtual void finish() = 0;
  /// Called once on the I/O thread if the client goes away, is too slow, or the server stops before
  /// the answer is complete; at once where that has happened.
  virtual void on_abort(std::function<void()> callback) = 0;
  /// Runs on this connection's I/O thread, one task at a time, in order.
  virtual void post(std::function<void()> task) = 0;
};

using Handler = std::function<void(std::shared_ptr<Exchange>)>;

}  // namespace veloz::net
