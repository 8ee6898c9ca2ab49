// HTTP calls to others, on the worker's event loop:
//   worker().http().get("http://prices/today", [this](Outcome<HttpResponse> prices) {
//     show(prices.value().body);
//   }).detach();
// or, in a Task:
//   const HttpResponse prices = co_await worker().http().get("http://prices/today");
#pragma once

#include <appserver/awaitable.hpp>
#include <appserver/http_answer.hpp>
#include <appserver/http_call.hpp>
#include <appserver/outcome.hpp>
#include <appserver/task.hpp>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace appserver {
namespace detail {

// Begins a call for the task that awaits it. No aggregate: gcc 12 destroys such ones twice.
class HttpStart {
 public:
  HttpStart(CallSet& calls, HttpRequest request) : calls_(&calls), request_(std::move(request)) {}
  HttpCall operator()(Done<HttpResponse> done) const {
    return HttpCall(calls_->start(request_, std::make_unique<CallDoneOf<Done<HttpResponse>>>(
                                                std::in_place, std::move(done))));
  }

 private:
  CallSet* calls_;
  HttpRequest request_;
};
using HttpAwaiter = CallAwaiter<HttpResponse, HttpStart>;

template <class OnHead, class OnData, class OnEnd>
class PiecesOf final : public CallDone {
 public:
  template <class H, class D, class E>
  PiecesOf(H&& on_head, D&& on_data, E&& on_end)
      : on_head_(std::forward<H>(on_head)),
        on_data_(std::forward<D>(on_data)),
        on_end_(std::forward<E>(on_end)) {}
  void begin(HttpResponse head) override { static_cast<void>(on_head_(head)); }
  void take(std::string_view piece) override { static_cast<void>(on_data_(piece)); }
  void run(Outcome<HttpResponse> outcome) override {
    static_cast<void>(on_end_(std::move(outcome)));
  }

 private:
  OnHead on_head_;
  OnData on_data_;
  OnEnd on_end_;
};

}  // namespace detail

// From Worker::http(). Connections are kept for 30 seconds and used again; at most 64 to one
// origin, and 1024 calls wait for them. A call of an idempotent method is tried once more where a
// kept connection turns out to have been closed. An answer that an exchange waits for keeps a
// draining worker alive by that exchange; other calls end with the worker, uncalled.
class HttpClient {
 public:
  explicit HttpClient(detail::CallSet& calls) noexcept : calls_(&calls) {}

  // done(Outcome<HttpResponse>) is called once, on the loop, never within this call: with the
  // answer, whatever its status, or with a ClientError. An exception that leaves it is logged.
  // Throws std::runtime_error where the host has no "client/1", or the worker ends.
  template <class Done>
  HttpCall request(const HttpRequest& request, Done&& done) const {
    static_assert(std::is_invocable_v<std::decay_t<Done>&, Outcome<HttpResponse>>,
                  "done takes an Outcome<HttpResponse>");
    return HttpCall(calls_->start(request, std::make_unique<detail::CallDoneOf<std::decay_t<Done>>>(
                                               std::in_place, std::forward<Done>(done))));
  }

  // As request.
  template <class Done>
  HttpCall get(std::string_view url, Done&& done) const {
    return request(to_get(url), std::forward<Done>(done));
  }

  template <class Done>
  HttpCall post(std::string_view url, std::string_view content_type, std::string_view body,
                Done&& done) const {
    return request(to_post(url, content_type, body), std::forward<Done>(done));
  }

  // As request, but the body is never held whole: on_head(const HttpResponse&) gets status and
  // headers, on_data(std::string_view) each piece as it arrives, and on_end(Outcome<HttpResponse>)
  // its end, or the ClientError that came in place of the rest. max_body does not bound it, and the
  // timeout is that of the head and then of each further piece, without the time in which the
  // handle has paused it. An exception that leaves on_head or on_data cancels the call.
  template <class OnHead, class OnData, class OnEnd>
  HttpCall stream(const HttpRequest& request, OnHead&& on_head, OnData&& on_data,
                  OnEnd&& on_end) const {
    using Handlers =
        detail::PiecesOf<std::decay_t<OnHead>, std::decay_t<OnData>, std::decay_t<OnEnd>>;
    return HttpCall(calls_->start(
        request,
        std::make_unique<Handlers>(std::forward<OnHead>(on_head), std::forward<OnData>(on_data),
                                   std::forward<OnEnd>(on_end)),
        detail::CallSet::Answer::in_pieces));
  }

  // [in a Task] The same to await: the answer when its head has come, to read piece by piece.
  // Throws the ClientError where none comes.
  Task<HttpAnswer> open(const HttpRequest& request) const {
    HttpAnswer answer;
    detail::AnswerRead& read = *answer.read_;
    read.call = HttpCall(calls_->start(request, std::make_unique<detail::AnswerReadDone>(read),
                                       detail::CallSet::Answer::in_pieces));
    co_await detail::next_change(read);
    if (!read.has_head) std::rethrow_exception(read.error);
    co_return std::move(answer);
  }
  Task<HttpAnswer> open(HttpRequest&& request) const = delete;

  // As request, to await in a Task: the answer, whatever its status; throws the ClientError. When
  // the task is cancelled, since its client or the worker has gone, the call is, too. `request` has
  // a name of its own, in a line before the co_await: gcc 12 destroys what is written into the
  // expression in braces twice.
  detail::HttpAwaiter request(const HttpRequest& request) const {
    return detail::HttpAwaiter(detail::HttpStart(*calls_, request));
  }
  detail::HttpAwaiter request(HttpRequest&& request) const = delete;
  detail::HttpAwaiter get(std::string_view url) const {
    return detail::HttpAwaiter(detail::HttpStart(*calls_, to_get(url)));
  }
  detail::HttpAwaiter post(std::string_view url, std::string_view content_type,
                           std::string_view body) const {
    return detail::HttpAwaiter(detail::HttpStart(*calls_, to_post(url, content_type, body)));
  }

 private:
  static HttpRequest to_get(std::string_view url) {
    HttpRequest wanted;
    wanted.url = url;
    return wanted;
  }
  static HttpRequest to_post(std::string_view url, std::string_view content_type,
                             std::string_view body) {
    HttpRequest wanted;
    wanted.method = "POST";
    wanted.url = url;
    wanted.headers.push_back({"Content-Type", std::string(content_type)});
    wanted.body = body;
    return wanted;
  }

  detail::CallSet* calls_;
};

}  // namespace appserver
