// SPDX-License-Identifier: Apache-2.0
// Bytes from the network: no crash, no hang, and the same requests however the bytes are cut.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "net/request_parser.h"
#include "net/response_parser.h"
#include "net/url.h"
#include "veloz/types.h"

namespace {

using veloz::net::RequestParser;

/// What a connection would see: each request, and how it ends.
std::vector<std::string> parse(std::string_view bytes, size_t step) {
  RequestParser parser({.max_header_bytes = 2048, .max_num_headers = 20, .max_body_bytes = 4096});
  std::vector<std::string> seen;
  std::string kept;
  while (!bytes.empty()) {
    kept += bytes.substr(0, step);
    bytes.remove_prefix(std::min(step, bytes.size()));
    for (;;) {
      kept.erase(0, parser.feed(kept));
      if (parser.state() == RequestParser::State::refused) {
        seen.push_back("refused " + std::to_string(parser.refusal().status));
        return seen;
      }
      if (parser.state() != RequestParser::State::complete) break;
      const veloz::net::Request request = parser.take();
      seen.push_back(request.method + " " + request.path + "?" + request.query + " " +
                     request.body);
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (parse(bytes, bytes.size()) != parse(bytes, 1)) std::abort();
  veloz::net::ResponseParser response({}, /*is_answer_to_head=*/false);
  response.feed(bytes);
  response.end();
  try {
    veloz::net::parse_url(bytes);
  } catch (const veloz::Error&) {
    return 0;
  }
  return 0;
}
