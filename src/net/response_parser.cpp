// SPDX-License-Identifier: Apache-2.0
#include "net/response_parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <utility>

namespace veloz::net {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using Text = boost::beast::string_view;

constexpr uint32_t kMaxHeaderBytes = 256 * 1024;

}  // namespace

class ResponseParser::Parser final : public http::basic_parser<false> {
 public:
  explicit Parser(const Sinks& sinks) : sinks_(sinks) {
    eager(true);
    header_limit(kMaxHeaderBytes);
    body_limit(std::numeric_limits<uint64_t>::max());
  }
  bool is_interim() const { return head_.status / 100 == 1; }

 private:
  void on_request_impl(http::verb, Text, Text, int, error_code&) override {}
  void on_response_impl(int status, Text, int, error_code&) override { head_.status = status; }
  void on_field_impl(http::field, Text name, Text value, error_code&) override {
    if (!is_header_done()) head_.headers.emplace_back(name, value);  // not of a trailer
  }
  void on_header_impl(error_code&) override {
    if (!is_interim() && sinks_.on_head) sinks_.on_head(head_);
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(Text bytes, error_code&) override { return give(bytes); }
  void on_chunk_header_impl(std::uint64_t, Text, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text bytes, error_code&) override {
    return give(bytes);
  }
  void on_finish_impl(error_code&) override {}

  std::size_t give(Text bytes) {
    if (sinks_.on_data && !bytes.empty()) sinks_.on_data({bytes.data(), bytes.size()});
    return bytes.size();
  }

  const Sinks& sinks_;
  ResponseHead head_;
};

ResponseParser::ResponseParser(Sinks sinks, bool is_answer_to_head)
    : sinks_(std::move(sinks)), is_answer_to_head_(is_answer_to_head) {
  start();
}

ResponseParser::~ResponseParser() = default;

void ResponseParser::start() {
  parser_ = std::make_unique<Parser>(sinks_);
  if (is_answer_to_head_) parser_->skip(true);
}

size_t ResponseParser::feed(std::string_view bytes) {
  size_t used = 0;
  while (used < bytes.size() && !is_done() && !problem_) {
    error_code error;
    used += parser_->put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), error);
    if (error == http::error::need_more) break;
    if (error) problem_ = "the answer is malformed: " + error.message();
    if (parser_->is_done() && parser_->is_interim()) start();
  }
  return used;
}

void ResponseParser::end() {
  error_code error;
  if (parser_->got_some())
    parser_->put_eof(error);
  else
    error = http::error::partial_message;
  if (error) problem_ = "the connection ended before the answer did";
}

bool ResponseParser::is_done() const { return parser_->is_done(); }
const std::optional<std::string>& ResponseParser::problem() const { return problem_; }
bool ResponseParser::is_keep_alive() const {
  return parser_->is_done() && parser_->keep_alive() && !parser_->need_eof();
}

}  // namespace veloz::net
