// SPDX-License-Identifier: Apache-2.0
#include "net/server.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>

#include "base/error.h"
#include "net/post_together.h"
#include "net/raw_client.h"
#include "net/test_server.h"

namespace veloz::net {
namespace {

TEST(Server, AnswersARequestWithItsBody) {
  Server server(test_options(echo));
  const auto response = ask(server.port(),
                            "POST /v1/x%20y?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
                            "hello");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->version, "HTTP/1.1");
  EXPECT_EQ(response->body, "POST /v1/x y?q=1|hello");
  EXPECT_EQ(response->headers.at("content-type"), "text/plain");
  EXPECT_TRUE(response->headers.contains("date"));
}

TEST(Server, KeepsAConnectionForTheNextRequest) {
  Server server(test_options(echo));
  RawClient client(server.port());
  for (const std::string path : {"/1", "/2", "/3"}) {
    ASSERT_TRUE(client.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"));
    const auto response = client.read_response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->body, "GET " + path + "?|");
  }
  EXPECT_EQ(server.stats().num_connections, 1);
}

TEST(Server, AnswersPipelinedRequestsInOrderThoughTheirHandlersEndInReverse) {
  Mailbox<std::shared_ptr<Exchange>> exchanges;
  Server server(test_options([&](auto exchange) { exchanges.put(exchange); }));
  RawClient client(server.port());
  client.send(
      "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
      "GET /3 HTTP/1.1\r\nHost: x\r\n\r\n");
  for (const std::string path : {"/1", "/2", "/3"}) {
    auto exchange = exchanges.take();
    ASSERT_TRUE(exchange);
    EXPECT_EQ((*exchange)->request().path, path);
    EXPECT_EQ(exchanges.size(), 0u) << "the next one waits for this answer";
    (*exchange)->respond({.body = path});
    const auto response = client.read_response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->body, path);
  }
}

TEST(Server, StreamsInChunksAndGoesOnWithTheConnection) {
  Server server(test_options([](auto exchange) {
    exchange->start_stream({.content_type = "text/event-stream"});
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(exchange->write("data: " + std::to_string(i) + "\n\n"));
    exchange->finish();
  }));
  RawClient client(server.port());
  for (int round = 0; round < 2; ++round) {
    client.send(kGet);
    const auto response = client.read_response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->headers.at("transfer-encoding"), "chunked");
    EXPECT_EQ(response->headers.at("content-type"), "text/event-stream");
    EXPECT_EQ(response->body, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
  }
}

TEST(Server, SendsAPieceWithoutWaitingForTheNext) {
  Mailbox<std::shared_ptr<Exchange>> exchanges;
  Server server(test_options([&](auto exchange) { exchanges.put(exchange); }));
  RawClient client(server.port());
  client.send(kGet);
  const auto exchange = exchanges.take();
  ASSERT_TRUE(exchange);
  (*exchange)->start_stream({});
  EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
  for (const std::string piece : {"one", "two"}) {
    EXPECT_TRUE((*exchange)->write(piece));
    EXPECT_EQ(client.read_until("\r\n" + piece + "\r\n"), "3\r\n" + piece + "\r\n");
  }
  (*exchange)->finish();
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
}

TEST(Server, AnswersHeadWithTheHeaderAlone) {
  Server server(test_options(echo));
  RawClient client(server.port());
  client.send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto response = client.read_response(/*is_answer_to_head=*/true);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->headers.at("content-length"), "9");
  client.send(kGet);
  EXPECT_EQ(client.read_response()->body, "GET /a?|");
}

TEST(Server, ClosesAfterARequestOfHttp10UnlessAskedToKeepTheConnection) {
  Server server(test_options(echo));
  RawClient client(server.port());
  client.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(client.read_response()->headers.at("connection"), "keep-alive");
  client.send("GET /2 HTTP/1.0\r\n\r\n");
  const auto response = client.read_response();
  EXPECT_EQ(response->headers.at("connection"), "close");
  EXPECT_EQ(response->body, "GET /2?|");
  EXPECT_EQ(client.read_all(), "");
}

TEST(Server, StreamsToHttp10WithoutChunks) {
  Server server(test_options([](auto exchange) {
    exchange->start_stream({});
    exchange->write("one");
    exchange->write("two");
    exchange->finish();
  }));
  const auto response = ask(server.port(), "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  ASSERT_TRUE(response);
  EXPECT_FALSE(response->headers.contains("transfer-encoding"));
  EXPECT_EQ(response->body, "onetwo");
}

TEST(Server, ClosesWhereTheClientAsksForIt) {
  Server server(test_options(echo));
  RawClient client(server.port());
  client.send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.read_response()->headers.at("connection"), "close");
  EXPECT_EQ(client.read_all(), "");
}

TEST(Server, TellsAClientThatWaitsToSendItsBody) {
  Server server(test_options(echo));
  RawClient client(server.port());
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_response()->status, 100);
  client.send("ab");
  EXPECT_EQ(client.read_response()->body, "POST /a?|ab");
}

TEST(Server, EchoesTheRequestIdWhereItIsFitAndDrawsOneOtherwise) {
  Server server(test_options(echo));
  EXPECT_EQ(ask(server.port(), "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: my-id.1\r\n\r\n")
                ->headers.at("x-request-id"),
            "my-id.1");
  EXPECT_EQ(ask(server.port(), "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: a \"b\"\r\n\r\n")
                ->headers.at("x-request-id")
                .size(),
            32u);
  EXPECT_EQ(ask(server.port(), kGet)->headers.at("x-request-id").size(), 32u);
}

TEST(Server, ARefusalHasTheIdOfItsRequest) {
  Server server(test_options(echo));
  for (const std::string refused : {"Content-Length: 99999999999", "Transfer-Encoding: gzip",
                                    "Expect: x\r\nContent-Length: 1"}) {
    const auto response =
        ask(server.port(),
            "POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: my-id\r\n" + refused + "\r\n\r\n");
    ASSERT_TRUE(response) << refused;
    EXPECT_GE(response->status, 400);
    EXPECT_EQ(response->headers.at("x-request-id"), "my-id") << refused;
  }
  EXPECT_EQ(ask(server.port(), "nonsense\r\n\r\n")->headers.at("x-request-id").size(), 32u);
}

TEST(Server, Answers500ForAnExchangeNobodyAnswers) {
  Server server(test_options([](const auto&) {}));
  EXPECT_EQ(ask(server.port(), kGet)->status, 500);
}

TEST(Server, Answers500AndGoesOnWhereAHandlerThrows) {
  Mailbox<std::string> problems;
  ServerOptions options =
      test_options([](const auto&) { throw std::runtime_error("out of cheese"); });
  options.on_problem = [&](std::string_view text) { problems.put(std::string(text)); };
  Server server(std::move(options));
  RawClient client(server.port());
  for (int i = 0; i < 2; ++i) {
    client.send(kGet);
    EXPECT_EQ(client.read_response()->status, 500);
    EXPECT_EQ(problems.take(), "out of cheese");
  }
}

TEST(Server, EndsAStreamThatNobodyFinishesByClosing) {
  Server server(test_options([](auto exchange) {
    exchange->start_stream({});
    exchange->write("half");
  }));
  RawClient client(server.port());
  client.send(kGet);
  EXPECT_EQ(client.read_all().find("0\r\n\r\n"), std::string::npos) << "no regular end";
}

TEST(Server, RunsPostedTasksInOrderOnTheIoThread) {
  Server server(test_options([](auto exchange) {
    auto order = std::make_shared<std::string>();
    const auto io_thread = std::this_thread::get_id();
    for (const char c : {'a', 'b', 'c'})
      exchange->post([=] { *order += std::this_thread::get_id() == io_thread ? c : '?'; });
    exchange->post([=] { exchange->respond({.body = *order}); });
  }));
  EXPECT_EQ(ask(server.port(), kGet)->body, "abc");
}

TEST(Server, RunsWhatIsPostedTogetherInOrder) {
  Mailbox<std::shared_ptr<Exchange>> exchanges;
  Mailbox<char> order;
  Server server(test_options([&](auto exchange) { exchanges.put(std::move(exchange)); }));
  RawClient client(server.port());
  client.send(kGet);
  const std::shared_ptr<Exchange> exchange = *exchanges.take();
  const auto post = [&](char c) { exchange->post([&order, c] { order.put(c); }); };
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(post_together([&] {
                   post('a');
                   post_together([&] { post('b'); });
                   post('c');
                   throw std::runtime_error("half of it was posted");
                 }),
                 std::runtime_error);
    for (const char c : {'a', 'b', 'c'}) EXPECT_EQ(order.take(), c);
  }
  post_together([] {});
  post('d');
  EXPECT_EQ(order.take(), 'd');
}

TEST(Server, LosesNoTaskBehindOneThatThrows) {
  Mailbox<std::string> problems;
  Mailbox<std::shared_ptr<Exchange>> exchanges;
  ServerOptions options = test_options([&](auto exchange) { exchanges.put(std::move(exchange)); });
  options.on_problem = [&](std::string_view problem) { problems.put(std::string(problem)); };
  Server server(std::move(options));
  RawClient client(server.port());
  client.send(kGet);
  std::shared_ptr<Exchange> exchange = *exchanges.take();
  post_together([&] {
    exchange->post([] { throw std::runtime_error("a task broke"); });
    exchange->post([exchange] { exchange->respond({.body = "answered"}); });
  });
  exchange.reset();
  EXPECT_EQ(client.read_response()->body, "answered");
  EXPECT_EQ(problems.take(), "a task broke");
}

TEST(Server, SpreadsConnectionsOverItsIoThreads) {
  Mailbox<std::thread::id> threads;
  ServerOptions options = test_options([&](const auto& exchange) {
    threads.put(std::this_thread::get_id());
    echo(exchange);
  });
  options.num_io_threads = 2;
  Server server(std::move(options));
  EXPECT_EQ(ask(server.port(), kGet)->status, 200);
  EXPECT_EQ(ask(server.port(), kGet)->status, 200);
  EXPECT_NE(threads.take(), threads.take());
}

TEST(Server, ReplacesControlCharactersInHeaderValues) {
  Server server(test_options([](auto exchange) {
    exchange->respond({.headers = {{"x-a", "1\r\nx-b: 2"}}});
  }));
  const auto response = ask(server.port(), kGet);
  EXPECT_EQ(response->headers.at("x-a"), "1  x-b: 2");
  EXPECT_FALSE(response->headers.contains("x-b"));
}

TEST(Server, SaysWhyItCannotListen) {
  Server first(test_options(echo));
  ServerOptions options = test_options(echo);
  options.port = first.port();
  try {
    Server second(std::move(options));
    FAIL() << "two servers listen on one port";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::io);
    EXPECT_NE(e.message().find("Address already in use"), std::string::npos) << e.message();
  }
}

}  // namespace
}  // namespace veloz::net
