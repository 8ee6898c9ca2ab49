// An answer of another server, read piece by piece:
//   HttpAnswer video = co_await worker().http().open(request);
//   while (const auto piece = co_await video.read()) co_await stream.send(*piece);
#pragma once

#include <appserver/awaitable.hpp>
#include <appserver/http_call.hpp>
#include <appserver/outcome.hpp>
#include <appserver/task.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace appserver {
namespace detail {

// What has come of an answer and was not read: one piece at most, the call is paused meanwhile.
struct AnswerRead {
  HttpCall call{};
  HttpResponse head{};
  std::string piece{};
  std::exception_ptr error{};
  bool has_head = false;
  bool has_ended = false;
  std::function<void()> wake{};

  // The last thing that whoever calls it does: this may be gone then.
  void changed() {
    if (const auto waiting = std::exchange(wake, {})) waiting();
  }
};

struct AnswerWaiting {
  AnswerRead* read;
  void operator()(Done<void> done) const {
    read->wake = [done = std::move(done)] { done(); };
  }
};
inline auto next_change(AnswerRead& read) { return awaitable<void>(AnswerWaiting{&read}); }

class AnswerReadDone final : public CallDone {
 public:
  explicit AnswerReadDone(AnswerRead& read) noexcept : read_(read) {}
  void begin(HttpResponse head) override {
    read_.head = std::move(head);
    read_.has_head = true;
    read_.call.pause();
    read_.changed();
  }
  void take(std::string_view piece) override {
    read_.piece.append(piece);
    read_.call.pause();
    read_.changed();
  }
  void run(Outcome<HttpResponse> outcome) override {
    read_.error = outcome.error();
    read_.has_ended = true;
    read_.changed();
  }

 private:
  AnswerRead& read_;
};

}  // namespace detail

// From HttpClient::open. Nothing is read ahead of read() but one piece, so that a server is as fast
// as who reads here. When it goes, the call is cancelled. Loop thread only.
class [[nodiscard]] HttpAnswer {
 public:
  // Status and headers; the body is empty.
  const HttpResponse& head() const noexcept { return read_->head; }

  // [in a Task] Bytes of the body, 64 KiB at most; none: it is whole. Throws the ClientError where
  // the rest does not come. The next piece may take as long as HttpOptions::timeout says.
  Task<std::optional<std::string>> read() {
    detail::AnswerRead& read = *read_;
    if (read.piece.empty() && !read.has_ended) {
      read.call.resume();
      co_await detail::next_change(read);
    }
    if (!read.piece.empty()) co_return std::exchange(read.piece, {});
    if (read.error) std::rethrow_exception(read.error);
    co_return std::nullopt;
  }

 private:
  friend class HttpClient;
  HttpAnswer() : read_(std::make_unique<detail::AnswerRead>()) {}

  std::unique_ptr<detail::AnswerRead> read_;
};

}  // namespace appserver
