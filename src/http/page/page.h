// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "http/router.h"

namespace veloz::http {

/// The chat and live page: one HTML file that needs nothing else. Joined from this folder's parts
/// when the project is built.
std::string_view page_html();

/// GET "/" gives the page, with an ETag and a policy under which the browser runs its script and
/// style only, and sends nothing anywhere but to this server.
void add_page_route(Router& router);

}  // namespace veloz::http
