// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace veloz::http::openai {

/// The OpenAPI 3.1 document of this protocol, made of the fields that requests are read by.
std::string openapi_document();

}  // namespace veloz::http::openai
