// Answers: given in on_request, given later, or streamed.
#pragma once

#include <appserver/abi/http.h>

#include <algorithm>
#include <appserver/awaitable.hpp>
#include <appserver/cookie.hpp>
#include <appserver/detail/answer.hpp>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/task.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace appserver {

// What Response and Deferred have in common. The setters return the object, so that they chain. A
// status outside 200 .. 599, or a header with characters that HTTP does not allow, makes the answer
// fail when it is sent: the client gets 500, the log says why.
template <class Self>
class AnswerSetters {
 public:
  // 200 unless set.
  Self& status(int code) {
    answer_.set_status(code);
    return self();
  }

  // Adds one; of Content-Type the last one counts. Content-Length, Transfer-Encoding, Connection
  // and Date are the host's.
  Self& header(std::string_view name, std::string_view value) {
    answer_.add(name, value);
    return self();
  }

  // Sets a cookie. Unlike the other setters it throws, std::invalid_argument, for a name, a value
  // or a combination that browsers do not take.
  Self& cookie(const Cookie& cookie) { return header("Set-Cookie", detail::set_cookie(cookie)); }

  // Also where the group's configuration says `compress`: for answers that hold a secret, such as a
  // token against forged requests, beside something that the request said. What an attacker can
  // make the request say shows in a compressed length whether it equals the secret (BREACH).
  Self& uncompressed() { return header("Content-Encoding", "identity"); }

  Self& body(std::string content, std::string_view content_type) {
    answer_.set_type(content_type);
    answer_.body = std::move(content);
    return self();
  }
  Self& text(std::string content) { return set(std::move(content), "text/plain; charset=utf-8"); }
  Self& html(std::string content) { return set(std::move(content), "text/html; charset=utf-8"); }
  Self& json(std::string content) { return set(std::move(content), "application/json"); }

 protected:
  AnswerSetters() = default;
  explicit AnswerSetters(detail::Answer answer) noexcept : answer_(std::move(answer)) {}

  detail::Answer answer_;

 private:
  Self& self() noexcept { return static_cast<Self&>(*this); }
  Self& set(std::string content, std::string_view static_type) {
    answer_.set_static_type(static_type);
    answer_.body = std::move(content);
    return self();
  }
};

enum class Write {
  kTaken,
  kFull,  // not taken: 1 MiB waits for the client already. Try again after a while, or abort.
  kGone,  // the client is gone, or the stream has ended
};

// An answer whose body comes in pieces. Any thread, one at a time. If it is destroyed before
// finish, it is aborted, so that the client sees that it is not whole.
class [[nodiscard]] Stream {
 public:
  Stream() = default;
  explicit Stream(const detail::Exchange& exchange) noexcept : exchange_(exchange) {}
  Stream(Stream&& other) noexcept : exchange_(std::exchange(other.exchange_, {})) {}
  Stream& operator=(Stream&& other) noexcept {
    if (this != &other) {
      abort();
      exchange_ = std::exchange(other.exchange_, {});
    }
    return *this;
  }
  ~Stream() { abort(); }

  // Copies the piece. A piece over the announced length aborts the stream and says so in the log.
  Write write(std::string_view piece) noexcept {
    if (exchange_.id == 0) return Write::kGone;
    const std::int32_t result =
        exchange_.http->write(exchange_.worker, exchange_.id, detail::str(piece));
    if (result == APPSERVER_OK) return Write::kTaken;
    if (result == APPSERVER_LIMIT) return Write::kFull;
    if (result != APPSERVER_GONE)
      exchange_.log_error("stream aborted: a piece went over the announced length");
    abort();
    return Write::kGone;
  }

  // [in a Task] As write, waiting while the client reads too slowly. False if it is gone.
  //   while (auto piece = next_piece()) co_await stream.send(*piece);
  Task<bool> send(std::string_view piece) {
    constexpr std::chrono::milliseconds kLongest{320};
    for (std::chrono::milliseconds pause{5};; pause = std::min(2 * pause, kLongest)) {
      const Write result = write(piece);
      if (result != Write::kFull) co_return result == Write::kTaken;
      co_await sleep(pause);
    }
  }

  // The body is whole. False if the client was gone, or the announced length not reached.
  bool finish() noexcept {
    if (exchange_.id == 0) return false;
    const detail::Exchange ended = std::exchange(exchange_, {});
    const std::int32_t result = ended.http->finish(ended.worker, ended.id);
    if (result != APPSERVER_OK && result != APPSERVER_GONE) {
      ended.log_error("stream aborted: it ended below the announced length");
      ended.http->abort(ended.worker, ended.id);
    }
    return result == APPSERVER_OK;
  }

  // Cuts the connection, so that the client sees that the body is not whole.
  void abort() noexcept {
    if (exchange_.id == 0) return;
    const detail::Exchange ended = std::exchange(exchange_, {});
    ended.http->abort(ended.worker, ended.id);
  }

  // Whether a piece could still be taken. That a client has gone may show only when it is written
  // to.
  bool alive() const noexcept {
    return exchange_.id != 0 &&
           exchange_.http->alive(exchange_.worker, exchange_.id) == APPSERVER_OK;
  }

 private:
  detail::Exchange exchange_;
};

namespace detail {

inline std::int32_t respond(const Exchange& exchange, const Answer& answer) {
  if (!answer.problem.empty()) return APPSERVER_INVALID;
  return answer.with_raw([&](const appserver_http_response& raw) {
    return exchange.http->respond(exchange.worker, exchange.id, &raw);
  });
}

inline std::int32_t start(const Exchange& exchange, const Answer& answer,
                          std::optional<std::uint64_t> length) {
  if (!answer.problem.empty()) return APPSERVER_INVALID;
  return answer.with_raw([&](const appserver_http_response& raw) {
    return exchange.http->start(exchange.worker, exchange.id, &raw,
                                length ? static_cast<std::int64_t>(*length) : -1);
  });
}

}  // namespace detail

// An answer that is given after on_request returned, from any thread, one at a time. Movable: into
// a timer's function, a thread, a queue. If it is destroyed unsent, the client gets 500. A worker
// that drains waits for it.
class [[nodiscard]] Deferred : public AnswerSetters<Deferred> {
 public:
  Deferred() = default;
  Deferred(const detail::Exchange& exchange, detail::Answer answer) noexcept
      : AnswerSetters(std::move(answer)), exchange_(exchange) {}
  Deferred(Deferred&& other) noexcept
      : AnswerSetters(std::move(other.answer_)), exchange_(std::exchange(other.exchange_, {})) {}
  Deferred& operator=(Deferred&& other) noexcept {
    if (this != &other) {
      drop();
      answer_ = std::move(other.answer_);
      exchange_ = std::exchange(other.exchange_, {});
    }
    return *this;
  }
  ~Deferred() { drop(); }

  // Once. False if the client is gone, or the answer was refused: then the client got 500, and the
  // log says why.
  bool send() {
    if (exchange_.id == 0) return false;
    return accepted(detail::respond(exchange_, answer_));
  }

  // Instead of send: the status and headers so far, and a body in pieces; with `length` exactly
  // that many bytes. If the client is gone, so is the stream.
  Stream stream(std::string_view content_type, std::optional<std::uint64_t> length = std::nullopt) {
    if (exchange_.id == 0) return {};
    const detail::Exchange exchange = exchange_;
    answer_.set_type(content_type);
    answer_.body.clear();
    return accepted(detail::start(exchange, answer_, length)) ? Stream(exchange) : Stream();
  }

  // Whether somebody still waits for the answer.
  bool alive() const noexcept {
    return exchange_.id != 0 &&
           exchange_.http->alive(exchange_.worker, exchange_.id) == APPSERVER_OK;
  }

 private:
  bool accepted(std::int32_t result) {
    const detail::Exchange ended = std::exchange(exchange_, {});
    if (result == APPSERVER_OK || result == APPSERVER_GONE) return result == APPSERVER_OK;
    detail::respond_failed(ended);
    ended.log_error(answer_.refusal());
    return false;
  }

  void drop() noexcept {
    if (exchange_.id == 0) return;
    const detail::Exchange ended = std::exchange(exchange_, {});
    if (detail::respond_failed(ended) == APPSERVER_OK)
      ended.log_error("a deferred answer was dropped unsent; the client got 500");
  }

  detail::Exchange exchange_;
};

// The answer to the request at hand. It goes to the host when on_request returns, or the coroutine
// that got it, if any setter was called, or earlier by send(). Returning without a setter, send,
// defer or stream is an error: 500. Loop thread, within on_request or the coroutine.
class Response : public AnswerSetters<Response> {
 public:
  explicit Response(const detail::Exchange& exchange) noexcept : exchange_(exchange) {}
  Response(const Response&) = delete;
  Response& operator=(const Response&) = delete;

  // At once. False if the client is gone. Throws std::invalid_argument if the answer is refused,
  // std::logic_error if it was sent, deferred or streamed before.
  bool send() { return accepted(detail::respond(open(), answer_)); }

  // The answer comes later; it starts with the status, headers and body set so far. Throws as send.
  Deferred defer() {
    defer_at_host();
    done_ = true;
    return {exchange_, std::move(answer_)};
  }

  // The status and headers so far, and a body in pieces; with `length` exactly that many bytes.
  // Throws as send. If the client is gone, so is the stream.
  Stream stream(std::string_view content_type, std::optional<std::uint64_t> length = std::nullopt) {
    open();
    answer_.set_type(content_type);
    answer_.body.clear();
    return accepted(detail::start(exchange_, answer_, length)) ? Stream(exchange_) : Stream();
  }

  // For the SDK: another one of the same answer, for when on_request has returned. This one is
  // done.
  Response outlive() {
    defer_at_host();
    done_ = true;
    return Response(exchange_, std::move(answer_));
  }
  const detail::Exchange& exchange() const noexcept { return exchange_; }

  // For the SDK, after on_request returned: sends what was set.
  void complete() {
    if (done_) return;
    if (!answer_.touched) throw std::logic_error("on_request returned without an answer");
    send();
  }

 private:
  const detail::Exchange& open() const {
    if (done_) throw std::logic_error("this request was answered, deferred or streamed before");
    return exchange_;
  }

  Response(const detail::Exchange& exchange, detail::Answer answer) noexcept
      : AnswerSetters(std::move(answer)), exchange_(exchange), deferred_(true) {}

  void defer_at_host() {
    open();
    if (!deferred_ && exchange_.http->defer(exchange_.worker, exchange_.id) != APPSERVER_OK)
      throw std::logic_error("response.defer: refused by the host");
  }

  bool accepted(std::int32_t result) {
    if (result != APPSERVER_OK && result != APPSERVER_GONE)
      throw std::invalid_argument(answer_.refusal());
    done_ = true;
    return result == APPSERVER_OK;
  }

  detail::Exchange exchange_;
  bool deferred_ = false;  // at the host
  bool done_ = false;
};

}  // namespace appserver
