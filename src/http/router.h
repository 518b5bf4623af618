// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/exchange.h"

namespace veloz::http {

/// Finds the handler of a method and a path: 404 where no path fits, 405 with `allow` where only
/// the method does not. A path may end in "/*": what it stands for is in Request::path.
class Router {
 public:
  void add(std::string method, std::string path, net::Handler handler);
  void handle(std::shared_ptr<net::Exchange> exchange) const;

 private:
  struct Route {
    std::string method;
    std::string path;
    net::Handler handler;
  };
  std::vector<Route> routes_;
};

}  // namespace veloz::http
