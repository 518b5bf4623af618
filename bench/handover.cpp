// SPDX-License-Identifier: Apache-2.0
// What handing a token from thread to thread to client costs where nothing is done with it: a
// thread that computes (the engine's) wakes one that sleeps in epoll (the connections'), which
// sends to a sleeping reader. The least that a lone stream costs a server of these threads: veloz
// serve's own figure is from bench/server_cost.py. And what the sending alone costs a thread that
// is awake: the least for any server.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "base/thread_clock.h"

namespace veloz::bench {
namespace {

struct HandoverBench {
  int64_t tokens = 5000;
  double gap_us = 130;
  int64_t bytes = 200;
  bool json = false;
};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "no descriptor");
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

void check(bool is_good, const char* what) {
  if (!is_good) throw std::system_error(errno, std::generic_category(), what);
}

/// A listening socket of the loopback and its address.
sockaddr_in listen_on(const Descriptor& socket) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  check(::bind(socket.get(), raw, size) == 0 && ::listen(socket.get(), 1) == 0, "listen");
  check(::getsockname(socket.get(), raw, &size) == 0, "getsockname");
  return address;
}

struct Cost {
  double engine_us = 0;
  double io_us = 0;
  double send_us = 0;  // alone
};

class Handover {
 public:
  explicit Handover(const HandoverBench& options) : options_(options) {
    epoll_event event{};
    event.events = EPOLLIN;
    check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, event_.get(), &event) == 0, "epoll_ctl");
  }

  Cost run() {
    const Descriptor listener(::socket(AF_INET, SOCK_STREAM, 0));
    const sockaddr_in address = listen_on(listener);
    const Descriptor client(::socket(AF_INET, SOCK_STREAM, 0));
    check(
        ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0,
        "connect");
    const Descriptor server(::accept(listener.get(), nullptr, nullptr));
    const int no_delay = 1;
    check(::setsockopt(server.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof(no_delay)) == 0,
          "setsockopt");
    Cost cost;
    std::jthread reader([&] { read_all(client); });
    {
      const std::jthread io([&] { cost.io_us = send_tokens(server); });
      cost.engine_us = make_tokens();
    }
    cost.send_us = send_awake(server);
    ::shutdown(server.get(), SHUT_WR);
    reader.join();
    const auto tokens = static_cast<double>(options_.tokens);
    return {.engine_us = cost.engine_us / tokens,
            .io_us = cost.io_us / tokens,
            .send_us = cost.send_us / tokens};
  }

 private:
  void compute() const {
    const std::chrono::duration<double, std::micro> gap(options_.gap_us);
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < gap) {
    }
  }

  /// Microseconds that the handing over took of the computing thread.
  double make_tokens() const {
    return sum_after_computing([this] {
      const uint64_t num_new = 1;
      check(::write(event_.get(), &num_new, sizeof(num_new)) == sizeof(num_new), "eventfd");
    });
  }

  double send_tokens(const Descriptor& socket) const {
    const double begin_s = thread_cpu_s();
    for (int64_t num_sent = 0; num_sent < options_.tokens;) {
      epoll_event event{};
      check(::epoll_wait(epoll_.get(), &event, 1, -1) == 1, "epoll_wait");
      uint64_t num_new = 0;
      check(::read(event_.get(), &num_new, sizeof(num_new)) == sizeof(num_new), "eventfd");
      for (; num_new > 0; --num_new, ++num_sent) send(socket);
    }
    return (thread_cpu_s() - begin_s) * 1e6;
  }

  double send_awake(const Descriptor& socket) const {
    return sum_after_computing([&] { send(socket); });
  }

  /// Microseconds of CPU that `f` takes for all tokens, each some computing after the last.
  template <typename F>
  double sum_after_computing(const F& f) const {
    double spent_s = 0;
    for (int64_t i = 0; i < options_.tokens; ++i) {
      compute();
      const double begin_s = thread_cpu_s();
      f();
      spent_s += thread_cpu_s() - begin_s;
    }
    return spent_s * 1e6;
  }

  void send(const Descriptor& socket) const {
    check(::send(socket.get(), message_.data(), message_.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(message_.size()),
          "send");
  }

  static void read_all(const Descriptor& socket) {
    std::array<char, 4096> bytes;
    while (::read(socket.get(), bytes.data(), bytes.size()) > 0) {
    }
  }

  const HandoverBench& options_;
  const std::string message_ = std::string(static_cast<size_t>(options_.bytes), 'x');
  Descriptor event_{::eventfd(0, EFD_CLOEXEC)};
  Descriptor epoll_{::epoll_create1(EPOLL_CLOEXEC)};
};

int run(const HandoverBench& options) {
  const Cost cost = Handover(options).run();
  if (options.json)
    fmt::print(
        "{{\"bench\": \"handover\", \"tokens\": {}, \"gap_us\": {}, \"bytes\": {}, "
        "\"engine_us_per_token\": {:.2f}, \"io_us_per_token\": {:.2f}, \"us_per_token\": "
        "{:.2f}, \"send_us_per_token\": {:.2f}}}\n",
        options.tokens, options.gap_us, options.bytes, cost.engine_us, cost.io_us,
        cost.engine_us + cost.io_us, cost.send_us);
  else
    fmt::print(
        "a token every {} us: engine {:.1f} us of CPU, connections {:.1f} us, both {:.1f} us; "
        "sending alone {:.1f} us\n",
        options.gap_us, cost.engine_us, cost.io_us, cost.engine_us + cost.io_us, cost.send_us);
  return 0;
}

}  // namespace
}  // namespace veloz::bench

int main(int argc, char** argv) {
  CLI::App app("What handing a token from thread to thread to client costs, nothing done with it.");
  veloz::bench::HandoverBench options;
  app.add_option("--tokens", options.tokens, "handed over")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000'000));
  app.add_option("--gap-us", options.gap_us, "computing between two tokens")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--bytes", options.bytes, "sent for each")
      ->capture_default_str()
      ->check(CLI::Range(1, 16'384));
  app.add_flag("--json", options.json, "one JSON object");
  app.footer("Example: veloz_bench_handover --gap-us 50000 --tokens 200");
  CLI11_PARSE(app, argc, argv);
  try {
    return veloz::bench::run(options);
  } catch (const std::exception& e) {
    fmt::print(stderr, "error: {}\n", e.what());
    return 1;
  }
}
