// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "http/openai/request_error.h"

namespace veloz::http::openai {

/// That `call` throws a RequestError about this parameter, whose message has `part` in it.
template <typename Call>
void expect_refused(Call&& call, const std::string& param, const std::string& part = "",
                    int status = 400) {
  try {
    call();
    ADD_FAILURE() << "nothing was refused; expected an error about \"" << param << "\"";
  } catch (const RequestError& e) {
    EXPECT_EQ(e.details().param, param) << e.message();
    EXPECT_NE(e.message().find(part), std::string::npos) << e.message();
    EXPECT_EQ(e.details().status, status);
  }
}

}  // namespace veloz::http::openai
