// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "base/error.h"

namespace veloz::http::openai {

/// What is wrong with a request, as OpenAI's errors tell it: beside what every Error says, the
/// parameter it concerns and a code for programs.
class RequestError : public Error {
 public:
  struct Details {
    std::string param = {};  // "messages[1].content", or "" where it is none in particular
    std::string code = {};   // "model_not_found", or ""
    int status = 400;
  };
  RequestError(Details details, std::string message, std::string hint = {})
      : Error(ErrorKind::invalid_input, std::move(message), std::move(hint)),
        details_(std::move(details)) {}

  const Details& details() const { return details_; }

 private:
  Details details_;
};

}  // namespace veloz::http::openai
