// SPDX-License-Identifier: Apache-2.0
#include "net/response_parser.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <limits>
#include <utility>

#include "net/text.h"

namespace veloz::net {
namespace {

namespace http = boost::beast::http;

constexpr uint32_t kMaxHeaderBytes = 256u * 1024;
constexpr std::string_view kHeaderEnd = "\r\n\r\n";

}  // namespace

ResponseParser::ResponseParser(Sinks sinks, bool is_answer_to_head)
    : sinks_(std::move(sinks)), is_answer_to_head_(is_answer_to_head) {}

size_t ResponseParser::feed(std::string_view bytes) {
  size_t used = 0;
  while (used < bytes.size() && !is_done() && !problem_) {
    const size_t n =
        at_ == At::header ? feed_header(bytes.substr(used)) : feed_body(bytes.substr(used));
    if (n == 0) break;
    used += n;
  }
  return used;
}

size_t ResponseParser::feed_header(std::string_view bytes) {
  const size_t from = num_scanned_ < kHeaderEnd.size() ? 0 : num_scanned_ - kHeaderEnd.size();
  const size_t found = bytes.find(kHeaderEnd, from);
  num_scanned_ = bytes.size();
  if (found == std::string_view::npos) {
    if (bytes.size() > kMaxHeaderBytes) problem_ = "the header of the answer is too large";
    return 0;
  }
  num_scanned_ = 0;
  const size_t size = found + kHeaderEnd.size();
  http::response_parser<http::empty_body> parser;
  parser.header_limit(kMaxHeaderBytes + 4);
  parser.skip(true);
  boost::beast::error_code error;
  parser.put(boost::asio::buffer(bytes.data(), size), error);
  if (error || !parser.is_header_done()) {
    problem_ = "the answer is malformed: " + error.message();
    return 0;
  }
  ResponseHead head{.status = static_cast<int>(parser.get().result_int()), .headers = {}};
  if (head.status / 100 == 1) return size;
  for (const auto& field : parser.get())
    head.headers.emplace_back(field.name_string(), field.value());
  is_keep_alive_ = parser.get().keep_alive();
  take_framing(head);
  if (!problem_ && sinks_.on_head) sinks_.on_head(head);
  return size;
}

void ResponseParser::take_framing(const ResponseHead& head) {
  if (is_answer_to_head_ || head.status == 204 || head.status == 304) {
    at_ = At::done;
  } else if (const auto encoding = head.header("transfer-encoding")) {
    if (!equals_ignoring_case(*encoding, "chunked"))
      problem_ = "the transfer-encoding of the answer is not known";
    chunks_.emplace(std::numeric_limits<uint64_t>::max());
    at_ = At::chunked_body;
  } else if (const auto length = head.header("content-length")) {
    const std::optional<uint64_t> number = parse_digits(*length);
    if (!number) problem_ = "the content-length of the answer is not a number";
    bytes_left_ = number.value_or(0);
    at_ = bytes_left_ == 0 ? At::done : At::sized_body;
  } else {
    is_keep_alive_ = false;
    at_ = At::body_to_end;
  }
}

size_t ResponseParser::feed_body(std::string_view bytes) {
  const auto give = [this](std::string_view data) {
    if (sinks_.on_data) sinks_.on_data(data);
  };
  if (at_ == At::chunked_body) {
    const size_t used = chunks_->feed(bytes, give);
    if (chunks_->state() == ChunkDecoder::State::done)
      at_ = At::done;
    else if (chunks_->state() != ChunkDecoder::State::reading)
      problem_ = "the chunks of the answer are malformed";
    return used;
  }
  if (at_ == At::body_to_end) {
    give(bytes);
    return bytes.size();
  }
  const auto n = static_cast<size_t>(std::min<uint64_t>(bytes_left_, bytes.size()));
  give(bytes.substr(0, n));
  bytes_left_ -= n;
  if (bytes_left_ == 0) at_ = At::done;
  return n;
}

void ResponseParser::end() {
  if (at_ == At::body_to_end)
    at_ = At::done;
  else if (!is_done())
    problem_ = "the connection ended before the answer did";
}

}  // namespace veloz::net
