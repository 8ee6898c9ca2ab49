// A request that is answered by a coroutine.
#pragma once

#include <appserver/detail/answer.hpp>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/task_set.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/http.hpp>
#include <appserver/task.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace appserver::detail {

using AsyncHandler = std::function<Task<void>(Request&, Response&)>;

// What the coroutine refers to.
struct AnswerState {
  AnswerState(const Request& from, Response& answer, AsyncHandler its_handler)
      : request(from.copy()), response(answer.outlive()), handler(std::move(its_handler)) {}

  Request request;
  Response response;
  AsyncHandler handler;
};

// In a catch block.
inline void answer_failed(const Exchange& exchange, const Request& request) noexcept {
  with_description("on_request", [&](std::string_view text) {
    try {
      exchange.log_error(std::string(text) + " (" + std::string(request.method()) + " " +
                         std::string(request.path()) + ")");
    } catch (...) {
      exchange.log_error(text);
    }
  });
  // A stream that has begun is cut.
  if (respond_failed(exchange) != APPSERVER_OK) exchange.http->abort(exchange.worker, exchange.id);
}

inline Task<void> answer_task(std::unique_ptr<AnswerState> state) {
  const Exchange exchange = state->response.exchange();
  try {
    co_await state->handler(state->request, state->response);
    state->response.complete();
  } catch (const BadRequest& bad) {
    respond_plainly(exchange, 400, std::string(bad.what()) + "\n");
  } catch (...) {
    answer_failed(exchange, state->request);
  }
}

// Has the handler answer, with a request of its own. Within on_request.
inline void answer_by(const Request& request, Response& response, AsyncHandler handler) {
  const Exchange exchange = response.exchange();
  exchange.tasks->start(
      answer_task(std::make_unique<AnswerState>(request, response, std::move(handler))),
      exchange.id);
}

// Nobody waits for the answer of a coroutine any more.
inline void answer_unwanted(const Exchange& exchange) noexcept {
  if (!exchange.tasks->has(exchange.id)) return;
  exchange.tasks->cancel(exchange.id);
  exchange.http->abort(exchange.worker, exchange.id);
}

}  // namespace appserver::detail
