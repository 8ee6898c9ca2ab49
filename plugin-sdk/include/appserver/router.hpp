// Which function answers a request, by method and path, and what runs before it.
#pragma once

#include <appserver/detail/answer_task.hpp>
#include <appserver/detail/route_tree.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/http.hpp>
#include <appserver/task.hpp>
#include <cstddef>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace appserver {

// What the braces of a route's pattern stood for. Lives as long as the handler's call, or as the
// coroutine that it is.
class Params {
 public:
  // For the SDK.
  struct Param {
    std::string_view name;
    std::string_view raw;
    std::string value;
  };
  explicit Params(std::vector<Param> params) noexcept : params_(std::move(params)) {}

  // Percent-decoded, once. In that of {rest...} an encoded '/' looks like a separator: split raw()
  // where that matters. std::out_of_range if the pattern has no such name.
  const std::string& operator[](std::string_view name) const { return find(name).value; }

  // As sent.
  std::string_view raw(std::string_view name) const { return find(name).raw; }

  // Converted as in Settings. What does not convert throws BadRequest.
  template <class T>
    requires detail::Number<T>
  T get(std::string_view name) const {
    const auto value = detail::convert<T>((*this)[name]);
    if (value) return *value;
    throw BadRequest("\"" + std::string(name) + "\" in the path: expected " +
                     detail::expected<T>());
  }

 private:
  const Param& find(std::string_view name) const {
    for (const Param& param : params_) {
      if (param.name == name) return param;
    }
    throw std::out_of_range("the route has no {" + std::string(name) + "}");
  }

  std::vector<Param> params_;
};

class Router;

// Goes on with what comes behind a middleware. Once at most, and only within the middleware's call:
// the request dies with it. A coroutine behind it begins when the middleware has returned.
class Next {
 public:
  inline void operator()() const;

 private:
  friend class Router;
  friend class AsyncNext;
  struct Run;
  Next(Run& run, std::size_t index) noexcept : run_(&run), index_(index) {}

  Run* run_;
  std::size_t index_;
};

// The same for a middleware that is a coroutine: `co_await next();` goes on when all behind it has
// ended.
class AsyncNext {
 public:
  inline Task<void> operator()() const;

 private:
  friend class Router;
  AsyncNext(Next::Run& run, std::size_t index) noexcept : run_(&run), index_(index) {}

  Next::Run* run_;
  std::size_t index_;
};

// Routes are added before the first request, by on_worker_start for instance; serve is for
// on_request. Loop thread. A pattern is a path of segments: text (written decoded), `{name}` for
// one segment that is not empty, and at the end `{name...}` for all the rest, which may be empty.
//   router.get("/users/{id}", [](Request&, Response&, const Params& params) { ... });
// Of the routes that fit the most specific one answers, in whatever order they were added: text
// before {name} before {name...}. Paths are compared segment by segment, each decoded once, and are
// not normalised: "//" and ".." are segments like others. Adding throws std::invalid_argument for a
// pattern that is malformed, is there already, or is neither more nor less specific than another
// that fits the same paths ("/a/{x}" and "/{y}/b").
class Router {
  // A generic one is the first kind, unless it says that it returns a task.
  template <class Function>
  static constexpr bool is_middleware() {
    if constexpr (std::is_invocable_v<Function&, Request&, Response&, Next>) {
      return !detail::IsTask<std::invoke_result_t<Function&, Request&, Response&, Next>>::value;
    } else {
      return false;
    }
  }
  template <class Function>
  static constexpr bool kIsMiddleware = is_middleware<Function>();
  template <class Function>
  static constexpr bool kIsAsyncMiddleware =
      std::is_invocable_r_v<Task<void>, Function&, Request&, Response&, AsyncNext>;

 public:
  // A handler takes (Request&, Response&, const Params&), or the first two. One that returns
  // Task<void> is a coroutine: what it takes lives as long as it does.
  //   router.get("/users/{id}", [this](Request&, Response& response,
  //                                    const Params& params) -> Task<void> {
  //     response.json(co_await worker().offload([&] { return db_.user(params["id"]); }));
  //   });
  template <class Handler>
  Router& get(std::string_view pattern, Handler&& handler) {  // HEAD, too
    return route("GET", pattern, std::forward<Handler>(handler));
  }
  template <class Handler>
  Router& post(std::string_view pattern, Handler&& handler) {
    return route("POST", pattern, std::forward<Handler>(handler));
  }
  template <class Handler>
  Router& put(std::string_view pattern, Handler&& handler) {
    return route("PUT", pattern, std::forward<Handler>(handler));
  }
  template <class Handler>
  Router& patch(std::string_view pattern, Handler&& handler) {
    return route("PATCH", pattern, std::forward<Handler>(handler));
  }
  template <class Handler>
  Router& del(std::string_view pattern, Handler&& handler) {
    return route("DELETE", pattern, std::forward<Handler>(handler));
  }
  // Methods that the same pattern has no handler of its own for.
  template <class Handler>
  Router& any(std::string_view pattern, Handler&& handler) {
    return route("", pattern, std::forward<Handler>(handler));
  }

  // Another method, as sent: case matters. An empty one is any.
  template <class Handler>
  Router& route(std::string_view method, std::string_view pattern, Handler&& handler) {
    if (!method.empty() && !detail::is_token(method))
      throw std::invalid_argument("route \"" + std::string(pattern) + "\": \"" +
                                  std::string(method) + "\" is no method");
    tree_.add(method, pattern, handlers_.size());
    handlers_.push_back(wrap(std::forward<Handler>(handler)));
    return *this;
  }

  // Runs before the handler, around it with what stands behind its next(); in the order added, also
  // where no route fits. One that does not call next() answers itself. With a prefix, for that path
  // and those below it: "/admin" is for "/admin" and "/admin/x", not for "/administrator". One that
  // is a coroutine takes an AsyncNext and returns Task<void>.
  template <class Middleware>
    requires(kIsMiddleware<Middleware> || kIsAsyncMiddleware<Middleware>)
  Router& use(Middleware&& middleware) {
    return use("/", std::forward<Middleware>(middleware));
  }
  template <class Middleware>
    requires(kIsMiddleware<Middleware> || kIsAsyncMiddleware<Middleware>)
  Router& use(std::string_view prefix, Middleware&& middleware) {
    auto segments = detail::plain_segments(prefix);
    if constexpr (kIsMiddleware<Middleware>) {
      middlewares_.push_back({std::move(segments), std::forward<Middleware>(middleware), {}});
    } else {
      middlewares_.push_back({std::move(segments), {}, std::forward<Middleware>(middleware)});
    }
    return *this;
  }

  // Answers: by a route, 404, or 405 where only the method is another. Throws BadRequest where the
  // path is not percent-encoded rightly, and what a handler throws.
  void serve(Request& request, Response& response) const;

 private:
  friend class Next;
  friend class AsyncNext;
  // One of the two is there.
  struct Handler {
    std::function<void(Request&, Response&, const Params&)> run = {};
    std::function<Task<void>(Request&, Response&, const Params&)> run_async = {};
  };
  struct Middleware {
    std::vector<std::string> prefix;
    std::function<void(Request&, Response&, Next)> run;
    std::function<Task<void>(Request&, Response&, AsyncNext)> run_async;
  };

  template <class Function>
  static Handler wrap(Function&& function) {
    if constexpr (std::is_invocable_v<Function&, Request&, Response&, const Params&>) {
      return by_result<std::invoke_result_t<Function&, Request&, Response&, const Params&>>(
          std::forward<Function>(function));
    } else {
      static_assert(
          std::is_invocable_v<Function&, Request&, Response&>,
          "a handler takes (Request&, Response&) or (Request&, Response&, const Params&)");
      using Result = std::invoke_result_t<Function&, Request&, Response&>;
      return by_result<Result>(
          [kept = std::forward<Function>(function)](Request& request, Response& response,
                                                    const Params&) mutable -> Result {
            return kept(request, response);
          });
    }
  }

  template <class Result, class Function>
  static Handler by_result(Function&& function) {
    if constexpr (detail::IsTask<Result>::value) {
      static_assert(std::is_same_v<Result, Task<void>>,
                    "a handler that is a coroutine returns Task<void>");
      return {.run_async = std::forward<Function>(function)};
    } else {
      return {.run = std::forward<Function>(function)};
    }
  }

  std::size_t begin_step(Next::Run& run, std::size_t index) const;
  void go_on(Next::Run& run, std::size_t index) const;
  Task<void> go_on_async(Next::Run& run, std::size_t index) const;
  Task<void> serve_async(Request& request, Response& response, std::size_t index) const;
  const detail::Route* find(Next::Run& run) const;
  static Params params_of(const detail::Route& route, const detail::Path& path);

  detail::RouteTree tree_;
  std::vector<Handler> handlers_;
  std::vector<Middleware> middlewares_;
};

struct Next::Run {
  const Router& router;
  Request& request;
  Response& response;
  detail::Path path;
  std::size_t reached = 0;
  // Where a coroutine is to go on; of the handler it is the number of middlewares.
  std::optional<std::size_t> pending = std::nullopt;
};

inline void Next::operator()() const { run_->router.go_on(*run_, index_); }

inline Task<void> AsyncNext::operator()() const {
  return run_->router.go_on_async(*run_, run_->router.begin_step(*run_, index_));
}

inline void Router::serve(Request& request, Response& response) const {
  auto path = detail::Path::parse(request.path());
  if (!path) throw BadRequest("the path is not percent-encoded rightly");
  Next::Run run{*this, request, response, *std::move(path)};
  go_on(run, 0);
  if (!run.pending) return;
  detail::answer_by(request, response,
                    [this, index = *run.pending](Request& kept, Response& later) {
                      return serve_async(kept, later, index);
                    });
}

// The next place at or behind `index` that is for this request.
inline std::size_t Router::begin_step(Next::Run& run, std::size_t index) const {
  if (index < run.reached) throw std::logic_error("a middleware called next() twice");
  while (index < middlewares_.size() && !run.path.is_below(middlewares_[index].prefix)) ++index;
  run.reached = index + 1;
  return index;
}

inline void Router::go_on(Next::Run& run, std::size_t index) const {
  index = begin_step(run, index);
  if (index < middlewares_.size()) {
    const Middleware& middleware = middlewares_[index];
    if (middleware.run) return middleware.run(run.request, run.response, Next(run, index + 1));
    run.pending = index;
  } else if (const detail::Route* const route = find(run)) {
    const Handler& handler = handlers_[route->handler];
    if (handler.run) {
      return handler.run(run.request, run.response, params_of(*route, run.path));
    }
    run.pending = index;
  }
}

inline Task<void> Router::serve_async(Request& request, Response& response,
                                      std::size_t index) const {
  auto path = detail::Path::parse(request.path());
  Next::Run run{*this, request, response, *std::move(path), index + 1};
  co_await go_on_async(run, index);
}

inline Task<void> Router::go_on_async(Next::Run& run, std::size_t index) const {
  for (;;) {
    if (index == middlewares_.size()) {
      const detail::Route* const route = find(run);
      if (route == nullptr) co_return;
      const Params params = params_of(*route, run.path);
      const Handler& handler = handlers_[route->handler];
      if (handler.run_async) {
        co_await handler.run_async(run.request, run.response, params);
      } else {
        handler.run(run.request, run.response, params);
      }
      co_return;
    }
    const Middleware& middleware = middlewares_[index];
    if (middleware.run_async) {
      co_await middleware.run_async(run.request, run.response, AsyncNext(run, index + 1));
      co_return;
    }
    middleware.run(run.request, run.response, Next(run, index + 1));
    if (!run.pending) co_return;
    index = *std::exchange(run.pending, std::nullopt);
  }
}

// Null: answered with 404 or 405.
inline const detail::Route* Router::find(Next::Run& run) const {
  const auto found = tree_.find(run.request.method(), run.path);
  if (found.route != nullptr) return found.route;
  if (found.allow.empty()) {
    run.response.status(404).text("Not Found\n");
  } else {
    run.response.status(405).header("Allow", found.allow).text("Method Not Allowed\n");
  }
  return nullptr;
}

inline Params Router::params_of(const detail::Route& route, const detail::Path& path) {
  std::vector<Params::Param> params;
  for (const auto& [name, first, rest] : route.params) {
    params.push_back({name, rest ? path.raw_from(first) : path.raw(first),
                      rest ? path.decoded_from(first) : std::string(path[first])});
  }
  return Params(std::move(params));
}

}  // namespace appserver
