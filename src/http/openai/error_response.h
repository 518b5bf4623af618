// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>

#include "base/error.h"
#include "net/exchange.h"

namespace veloz::http::openai {

/// As http::response_of, with the parameter and code of a RequestError.
net::Response error_response_of(const Error& error);
/// Of whatever a handler threw.
net::Response error_response_of(const std::exception_ptr& error);

}  // namespace veloz::http::openai
