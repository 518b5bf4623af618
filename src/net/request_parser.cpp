// SPDX-License-Identifier: Apache-2.0
#include "net/request_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>
#include <utility>

#include "net/chunk_decoder.h"
#include "net/text.h"

namespace veloz::net {
namespace {

namespace http = boost::beast::http;

// Empty lines that may stand before a request, as RFC 9112 asks to tolerate.
constexpr size_t kMaxLeadingLines = 4;
constexpr const char* kTooLarge = "the body is larger than this server takes";

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

/// Looks for the end of a header and for what may not stand in it, each byte once.
class HeaderScan {
 public:
  /// One past the empty line that ends the header, once it has come.
  std::optional<size_t> find_end(std::string_view bytes) {
    for (; position_ < bytes.size(); ++position_) {
      const char c = bytes[position_];
      if (c == '\0') return fail("the header holds a NUL");
      if (is_after_cr_ && c != '\n') return fail("a carriage return stands alone in the header");
      if (c == '\n' && !is_after_cr_) return fail("a header line ends in LF without CR");
      if ((c == ' ' || c == '\t') && line_length_ == 0 && position_ > 0)
        return fail("a header line is folded");
      is_after_cr_ = c == '\r';
      if (c == '\n') {
        if (line_length_ == 0) return ++position_;
        line_length_ = 0;
      } else if (c != '\r') {
        ++line_length_;
      }
    }
    return std::nullopt;
  }
  const char* problem() const { return problem_; }

 private:
  std::optional<size_t> fail(const char* problem) {
    problem_ = problem;
    return std::nullopt;
  }

  size_t position_ = 0;
  size_t line_length_ = 0;
  bool is_after_cr_ = false;
  const char* problem_ = nullptr;
};

}  // namespace

struct RequestParser::Message {
  State state = State::start;
  Refusal refusal;
  HeaderScan scan;
  size_t num_leading_lines = 0;
  http::request_parser<http::empty_body> parser;  // of the header alone
  std::optional<ChunkDecoder> chunks;
  size_t content_length = 0;
  Request request;
  bool wants_continue = false;

  void refuse(int status, std::string text) {
    state = State::refused;
    refusal = {status, std::move(text)};
  }
  size_t skip_leading_lines(std::string_view bytes);
  size_t feed_header(std::string_view bytes, const ParserLimits& limits);
  size_t feed_body(std::string_view bytes);
  size_t feed_chunks(std::string_view bytes);
  void refuse_bad_header(const boost::beast::error_code& error);
  void take_header(const ParserLimits& limits);
  void take_framing(const ParserLimits& limits);
  void take_target(std::string_view target);
};

size_t RequestParser::Message::skip_leading_lines(std::string_view bytes) {
  size_t skipped = 0;
  while (bytes.substr(skipped).starts_with("\r\n")) {
    skipped += 2;
    if (++num_leading_lines > kMaxLeadingLines) {
      refuse(400, "empty lines stand where a request should");
      break;
    }
  }
  return skipped;
}

size_t RequestParser::Message::feed_header(std::string_view bytes, const ParserLimits& limits) {
  if (bytes == "\r") return 0;
  if (!bytes.empty()) state = State::header;
  const std::optional<size_t> end = scan.find_end(bytes.substr(0, limits.max_header_bytes + 1));
  if (scan.problem() != nullptr) {
    refuse(400, scan.problem());
    return 0;
  }
  if (end.value_or(bytes.size()) > limits.max_header_bytes) {
    refuse(431, fmt::format("the header is larger than {} bytes", limits.max_header_bytes));
    return 0;
  }
  if (!end) return 0;
  parser.header_limit(static_cast<uint32_t>(limits.max_header_bytes + 1));
  parser.skip(true);
  boost::beast::error_code error;
  parser.put(boost::asio::buffer(bytes.data(), *end), error);
  if (error && error != http::error::need_more) {
    refuse_bad_header(error);
    return 0;
  }
  take_header(limits);
  return *end;
}

void RequestParser::Message::refuse_bad_header(const boost::beast::error_code& error) {
  if (error == http::error::bad_version)
    return refuse(505, "the request is of another version than HTTP/1.0 and HTTP/1.1");
  refuse(400, fmt::format("the request is malformed: {}", error.message()));
}

void RequestParser::Message::take_header(const ParserLimits& limits) {
  const auto& header = parser.get();
  request.method = view(header.method_string());
  size_t num_headers = 0;
  for (const auto& field : header) {
    if (++num_headers > limits.max_num_headers)
      return refuse(431,
                    fmt::format("there are more than {} header fields", limits.max_num_headers));
    request.headers.emplace_back(view(field.name_string()), view(field.value()));
  }
  const std::string_view id = request.header("x-request-id").value_or("");
  if (is_fit_request_id(id)) request.id = id;
  take_target(view(header.target()));
  if (state == State::refused) return;
  take_framing(limits);
  if (state == State::refused) return;
  if (!chunks && content_length == 0) {
    state = State::complete;
    return;
  }
  state = State::body;
  if (const auto expect = request.header("expect"); expect && header.version() >= 11) {
    if (!equals_ignoring_case(*expect, "100-continue"))
      return refuse(417, "the only expectation known is 100-continue");
    wants_continue = true;
  }
}

/// Finds how the body is delimited, and refuses what leaves a doubt.
void RequestParser::Message::take_framing(const ParserLimits& limits) {
  const auto count = [this](std::string_view name) {
    return std::ranges::count_if(request.headers, [&](const auto& field) {
      return equals_ignoring_case(field.first, name);
    });
  };
  for (const std::string_view name :
       {"content-length", "transfer-encoding", "host", "content-type", "authorization", "expect"})
    if (count(name) > 1)
      return refuse(400, fmt::format("the header field \"{}\" stands more than once", name));
  const bool is_http_1_0 = parser.get().version() < 11;
  if (!is_http_1_0 && count("host") == 0)
    return refuse(400, "the header field \"host\" is missing");
  const auto length = request.header("content-length");
  const auto encoding = request.header("transfer-encoding");
  if (length && encoding) return refuse(400, "both content-length and transfer-encoding are given");
  if (encoding) {
    if (is_http_1_0) return refuse(400, "a request of HTTP/1.0 has no transfer-encoding");
    if (!equals_ignoring_case(*encoding, "chunked"))
      return refuse(501, "the only transfer-encoding known is \"chunked\"");
    chunks.emplace(limits.max_body_bytes);
  }
  if (!length) return;
  const std::optional<uint64_t> number = parse_digits(*length);
  if (!number) return refuse(400, "the content-length is not a number");
  if (*number > limits.max_body_bytes) return refuse(413, kTooLarge);
  content_length = static_cast<size_t>(*number);
}

void RequestParser::Message::take_target(std::string_view target) {
  // The absolute form, which proxies use, names the same resource.
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!equals_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    const size_t path = target.find_first_of("/?", scheme.size());
    target = path == std::string_view::npos ? "/" : target.substr(path);
    break;
  }
  const bool is_server_wide = target == "*" && request.method == "OPTIONS";
  if (!is_server_wide && !target.starts_with('/'))
    return refuse(400, "the request's target is not a path");
  const size_t fragment = target.find('#');
  if (fragment != std::string_view::npos)
    return refuse(400, "the request's target holds a fragment");
  const size_t question = target.find('?');
  std::optional<std::string> path = percent_decode(target.substr(0, question));
  if (!path) return refuse(400, "the request's path holds a bad percent escape");
  request.path = std::move(*path);
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
}

size_t RequestParser::Message::feed_body(std::string_view bytes) {
  if (bytes.empty()) return 0;
  wants_continue = false;
  if (chunks) return feed_chunks(bytes);
  const size_t n = std::min(bytes.size(), content_length - request.body.size());
  request.body += bytes.substr(0, n);
  if (request.body.size() == content_length) state = State::complete;
  return n;
}

size_t RequestParser::Message::feed_chunks(std::string_view bytes) {
  const size_t used = chunks->feed(bytes, [this](std::string_view data) { request.body += data; });
  switch (chunks->state()) {
    case ChunkDecoder::State::reading:
      break;
    case ChunkDecoder::State::done:
      state = State::complete;
      break;
    case ChunkDecoder::State::malformed:
      refuse(400, "the body's chunks are malformed");
      break;
    case ChunkDecoder::State::too_large:
      refuse(413, kTooLarge);
      break;
  }
  return used;
}

RequestParser::RequestParser(const ParserLimits& limits)
    : message_(std::make_unique<Message>()), limits_(limits) {}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;
RequestParser& RequestParser::operator=(RequestParser&&) noexcept = default;

size_t RequestParser::feed(std::string_view bytes) {
  size_t used = 0;
  if (message_->state == State::start) used += message_->skip_leading_lines(bytes);
  if (message_->state == State::start || message_->state == State::header)
    used += message_->feed_header(bytes.substr(used), limits_);
  if (message_->state == State::body) used += message_->feed_body(bytes.substr(used));
  return used;
}

RequestParser::State RequestParser::state() const { return message_->state; }
const Refusal& RequestParser::refusal() const { return message_->refusal; }
bool RequestParser::wants_continue() const {
  return message_->state == State::body && message_->wants_continue;
}
size_t RequestParser::num_body_bytes() const { return message_->request.body.size(); }
bool RequestParser::is_http_1_0() const { return message_->parser.get().version() < 11; }
bool RequestParser::is_keep_alive() const { return message_->parser.keep_alive(); }

Request RequestParser::take() {
  Request request = std::move(message_->request);
  if (request.id.empty()) request.id = draw_request_id();
  message_ = std::make_unique<Message>();
  return request;
}

}  // namespace veloz::net
