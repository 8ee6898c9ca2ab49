// The answers of an HttpConnection's exchanges, as they are given.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/http_connection.hpp"

namespace appserver::net {

std::string& HttpConnection::out() { return in_turn_ ? server_.cork_ : output(); }

const http::AnswerTo& HttpConnection::current_answer_to() {
  if (ends_politely()) answer_to_.keep_alive = false;
  return answer_to_;
}

std::int32_t HttpConnection::respond(const appserver_http_response& response) {
  if (streaming_) return APPSERVER_INVALID;
  if (const std::int32_t status = http::validate(response); status != APPSERVER_OK) return status;
  count_status(response.status);
  write_whole(response);
  end_exchange();
  return APPSERVER_OK;
}

std::int32_t HttpConnection::defer() {
  deferred_ = true;
  return APPSERVER_OK;
}

std::int32_t HttpConnection::start(const appserver_http_response& response,
                                   std::int64_t content_length) {
  if (streaming_) return APPSERVER_INVALID;
  if (const std::int32_t status = http::validate(response); status != APPSERVER_OK) return status;
  if (content_length >= 0 && response.body.size > static_cast<std::uint64_t>(content_length)) {
    return APPSERVER_INVALID;
  }
  count_status(response.status);
  const bool sized = content_length >= 0;
  const auto length = static_cast<std::uint64_t>(sized ? content_length : 0);
  http::Coding coding = coding_for(response, sized ? std::optional(length) : std::nullopt, true);
  if (coding.gzip && !is_head() && !begin_coding()) coding = {.varies = true};
  body_mode_ =
      http::write_stream_head(out(), server_.date_, response, coding.gzip ? -1 : content_length,
                              current_answer_to(), coding);
  if (body_mode_ == http::BodyMode::until_close) answer_to_.keep_alive = false;
  counted_ = sized && body_mode_ != http::BodyMode::none;
  body_left_ = length;
  streaming_ = true;
  return append_piece({response.body.data, response.body.size});
}

std::int32_t HttpConnection::write(std::string_view piece) {
  if (!streaming_) return APPSERVER_INVALID;
  if (is_full()) return APPSERVER_LIMIT;
  if (broken_) return APPSERVER_GONE;
  return piece.empty() ? APPSERVER_OK : append_piece(piece);
}

std::int32_t HttpConnection::write_promised(std::string_view piece) {
  const std::int32_t result = streaming_ ? append_piece(piece) : APPSERVER_INVALID;
  // Whoever promises looks at unsent() next.
  static_cast<void>(is_full());
  return result;
}

bool HttpConnection::is_full() {
  const auto waits = [this] {
    return unsent() + (in_turn_ ? server_.cork_.size() : 0) >= HttpServer::kMostStreamed;
  };
  if (!waits()) return false;
  // While the kernel's buffer is full an event will tell.
  if (!awaits_output() && !broken_) send_now();
  return waits() && !broken_;
}

// A plugin may write for long before its turn ends.
void HttpConnection::send_now() {
  broken_ = in_turn_ ? !flush(server_.cork_) : !flush({});
  if (in_turn_) server_.cork_.clear();
  if (!in_turn_) server_.table_.schedule(*this);
}

std::int32_t HttpConnection::append_piece(std::string_view piece) {
  if (counted_ && piece.size() > body_left_) return APPSERVER_INVALID;
  if (counted_) body_left_ -= piece.size();
  if (coder_) {
    coder_->add(piece);
    compress_waiting();
  } else if (body_mode_ == http::BodyMode::chunked) {
    http::append_chunk(out(), piece);
  } else if (body_mode_ != http::BodyMode::none) {
    out().append(piece);
  }
  if (!in_turn_) server_.table_.schedule(*this);
  return APPSERVER_OK;
}

std::int32_t HttpConnection::finish() {
  if (!streaming_) return APPSERVER_INVALID;
  if (counted_ && body_left_ > 0) {
    abort();
    return APPSERVER_INVALID;
  }
  if (coder_) {
    coder_->end();
    compress_waiting();
  } else if (body_mode_ == http::BodyMode::chunked) {
    http::append_last_chunk(out());
  }
  end_exchange();
  return APPSERVER_OK;
}

std::int32_t HttpConnection::abort() {
  aborted_ = true;
  forget_exchange();
  if (!in_turn_) server_.table_.schedule(*this);
  return APPSERVER_OK;
}

std::int32_t HttpConnection::fail() {
  server_.page_.failed.add();
  if (streaming_) return abort();
  count_status(500);
  http::write_error(out(), server_.date_, 500, "the plugin failed to answer", current_answer_to());
  end_exchange();
  return APPSERVER_OK;
}

void HttpConnection::count_status(std::uint32_t status) {
  if (status >= 500) server_.page_.server_errors.add();
}

void HttpConnection::end_exchange() {
  server_.page_.requests.add();
  const auto now = std::chrono::steady_clock::now();
  server_.page_.latency.add(now - began_);
  if (in_turn_) server_.answered_at_ = now;
  forget_exchange();
  if (!answer_to_.keep_alive) close_when_sent_ = true;
  if (!in_turn_) server_.table_.schedule(*this);
}

void HttpConnection::forget_exchange() {
  const appserver_exchange ended = std::exchange(exchange_, 0);
  if (ended == 0) return;
  server_.page_.in_flight.subtract();
  if (deferred_ || streaming_) server_.handler_.on_exchange_end(ended);
  deferred_ = streaming_ = false;
}

}  // namespace appserver::net
