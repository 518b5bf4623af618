// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "http/openai/context.h"
#include "http/openai/submission.h"
#include "net/exchange.h"

namespace veloz::http::openai {

// What each endpoint does with a request. Each throws Error for one that cannot be.

void complete_chat(const Context& context, Submitter& submitter,
                   const std::shared_ptr<net::Exchange>& exchange);
void complete_text(const Context& context, Submitter& submitter,
                   const std::shared_ptr<net::Exchange>& exchange);
net::Response list_models(const Context& context);
net::Response show_model(const Context& context, const std::string& name);
net::Response tokenize(const Context& context, const net::Request& request);
net::Response detokenize(const Context& context, const net::Request& request);

}  // namespace veloz::http::openai
