// SPDX-License-Identifier: Apache-2.0
#include "net/answer.h"

#include <array>
#include <charconv>
#include <utility>

#include "base/error.h"

namespace veloz::net {

Answer::Answer(Setup setup) : setup_(std::move(setup)) {}

std::shared_ptr<Exchange> Answer::hand_out() {
  return {static_cast<Exchange*>(this), [self = shared_from_this()](Exchange*) { self->drop(); }};
}

void Answer::respond(Response response) {
  std::function<void()> unneeded;  // what it holds is destroyed outside of the lock
  const std::lock_guard lock(mutex_);
  if (stage_ == Stage::aborted) return;
  VELOZ_CHECK(stage_ == Stage::waiting, "an exchange is answered twice");
  stage_ = Stage::finished;
  unneeded.swap(on_abort_);
  buffered_ = response_head(response, setup_.request.id, setup_.framing);
  if (!setup_.framing.is_head && has_body(response.status)) buffered_ += response.body;
  schedule_flush();
}

void Answer::start_stream(Response head) {
  const std::lock_guard lock(mutex_);
  if (stage_ == Stage::aborted) return;
  VELOZ_CHECK(stage_ == Stage::waiting, "an exchange is answered twice");
  stage_ = Stage::streaming;
  setup_.framing.is_stream = true;
  // Without chunks only the end of the connection ends the body.
  if (setup_.framing.is_http_1_0) setup_.framing.is_keep_alive = false;
  buffered_ = response_head(head, setup_.request.id, setup_.framing);
  schedule_flush();
}

bool Answer::write(std::string_view piece) {
  const std::lock_guard lock(mutex_);
  if (stage_ == Stage::aborted) return false;
  VELOZ_CHECK(stage_ == Stage::streaming, "a piece is written outside of a stream");
  if (piece.empty() || setup_.framing.is_head) return true;
  // What has not been offered to the client yet is not held by it.
  const bool is_much = num_in_flight_ > 0 &&
                       num_in_flight_ + buffered_.size() + piece.size() > setup_.max_buffered_bytes;
  if (setup_.framing.is_http_1_0) {
    buffered_ += piece;
  } else {
    std::array<char, 2 * sizeof(size_t)> digits;
    const auto size = std::to_chars(digits.begin(), digits.end(), piece.size(), 16);
    buffered_.append(digits.begin(), size.ptr);
    buffered_ += "\r\n";
    buffered_ += piece;
    buffered_ += "\r\n";
  }
  schedule_flush();
  if (is_much) schedule_check();
  return true;
}

void Answer::finish() {
  std::function<void()> unneeded;
  const std::lock_guard lock(mutex_);
  if (stage_ == Stage::aborted) return;
  VELOZ_CHECK(stage_ == Stage::streaming, "a stream is finished that was not started");
  stage_ = Stage::finished;
  unneeded.swap(on_abort_);
  if (!setup_.framing.is_http_1_0 && !setup_.framing.is_head) buffered_ += "0\r\n\r\n";
  schedule_flush();
}

void Answer::on_abort(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (stage_ == Stage::finished) return;
    if (stage_ != Stage::aborted) {
      on_abort_ = std::move(callback);
      return;
    }
  }
  notify(callback);
}

void Answer::post(std::function<void()> task) { setup_.io_thread->post(std::move(task)); }

bool Answer::take(std::string& bytes) {
  const std::lock_guard lock(mutex_);
  is_flush_posted_ = false;
  if (buffered_.empty()) return false;
  bytes.swap(buffered_);
  num_in_flight_ = bytes.size();
  return true;
}

void Answer::on_sent(size_t num_bytes) {
  const std::lock_guard lock(mutex_);
  num_in_flight_ -= num_bytes;
}

bool Answer::is_finished() const {
  const std::lock_guard lock(mutex_);
  return stage_ == Stage::finished && buffered_.empty();
}

void Answer::abort() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    if (stage_ != Stage::finished) stage_ = Stage::aborted;
    buffered_ = {};
    callback = std::exchange(on_abort_, nullptr);
  }
  if (callback) callback();
}

void Answer::drop() {
  std::function<void()> unneeded;
  {
    const std::lock_guard lock(mutex_);
    unneeded.swap(on_abort_);
    if (stage_ == Stage::streaming) {  // ends without the last chunk, so that it is seen to be cut
      stage_ = Stage::finished;
      setup_.framing.is_keep_alive = false;
      schedule_flush();
    }
    if (stage_ != Stage::waiting) return;
  }
  respond(std::move(setup_.if_dropped));
}

/// Posts rather than sends: pieces written in one go leave in one go.
void Answer::schedule_flush() {
  if (is_flush_posted_) return;
  is_flush_posted_ = setup_.io_thread->post([self = shared_from_this()] {
    if (const auto outlet = self->setup_.outlet.lock()) outlet->flush();
  });
}

/// Posts, because the bytes counted as in flight may have gone out without our having heard of it.
void Answer::schedule_check() {
  if (is_check_posted_) return;
  is_check_posted_ = setup_.io_thread->post([self = shared_from_this()] { self->check(); });
}

void Answer::check() {
  {
    const std::lock_guard lock(mutex_);
    is_check_posted_ = false;
    if (stage_ != Stage::streaming) return;
  }
  const auto outlet = setup_.outlet.lock();
  if (outlet && !outlet->has_room()) outlet->give_up();
}

void Answer::notify(const std::function<void()>& callback) {
  if (setup_.io_thread->is_current() || !setup_.io_thread->post(callback)) callback();
}

}  // namespace veloz::net
