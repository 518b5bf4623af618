// SPDX-License-Identifier: Apache-2.0
#include "http/openai/error_response.h"

#include <fmt/format.h>

#include "http/errors.h"
#include "http/openai/request_error.h"

namespace veloz::http::openai {

net::Response error_response_of(const Error& error) {
  const auto* request_error = dynamic_cast<const RequestError*>(&error);
  if (request_error == nullptr) return response_of(error);
  const RequestError::Details& details = request_error->details();
  ErrorDetails shown;
  if (!details.param.empty()) shown.param = details.param;
  if (!details.code.empty()) shown.code = details.code;
  return error_response(details.status,
                        error.hint().empty()
                            ? error.message()
                            : fmt::format("{} ({})", error.message(), error.hint()),
                        shown);
}

net::Response error_response_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return error_response_of(e);
  } catch (const std::exception& e) {
    return response_of(Error(ErrorKind::internal, e.what()));
  }
}

}  // namespace veloz::http::openai
