// Which function answers a request, by method and path, and what runs before it.
#pragma once

#include <appserver/detail/route_tree.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/http.hpp>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace appserver {

// What the braces of a route's pattern stood for. Lives as long as the handler's call.
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
// the request dies with it.
class Next {
 public:
  inline void operator()() const;

 private:
  friend class Router;
  struct Run;
  Next(Run& run, std::size_t index) noexcept : run_(&run), index_(index) {}

  Run* run_;
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
 public:
  // A handler takes (Request&, Response&, const Params&), or the first two.
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
  // and those below it: "/admin" is for "/admin" and "/admin/x", not for "/administrator".
  template <class Middleware>
    requires std::is_invocable_v<Middleware&, Request&, Response&, Next>
  Router& use(Middleware&& middleware) {
    return use("/", std::forward<Middleware>(middleware));
  }
  template <class Middleware>
    requires std::is_invocable_v<Middleware&, Request&, Response&, Next>
  Router& use(std::string_view prefix, Middleware&& middleware) {
    middlewares_.push_back({detail::plain_segments(prefix), std::forward<Middleware>(middleware)});
    return *this;
  }

  // Answers: by a route, 404, or 405 where only the method is another. Throws BadRequest where the
  // path is not percent-encoded rightly, and what a handler throws.
  void serve(Request& request, Response& response) const;

 private:
  friend class Next;
  using Handler = std::function<void(Request&, Response&, const Params&)>;
  struct Middleware {
    std::vector<std::string> prefix;
    std::function<void(Request&, Response&, Next)> run;
  };

  template <class Function>
  static Handler wrap(Function&& function) {
    if constexpr (std::is_invocable_v<Function&, Request&, Response&, const Params&>) {
      return std::forward<Function>(function);
    } else {
      static_assert(
          std::is_invocable_v<Function&, Request&, Response&>,
          "a handler takes (Request&, Response&) or (Request&, Response&, const Params&)");
      return [kept = std::forward<Function>(function)](Request& request, Response& response,
                                                       const Params&) mutable {
        kept(request, response);
      };
    }
  }

  void go_on(Next::Run& run, std::size_t index) const;
  void answer(Next::Run& run) const;

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
};

inline void Next::operator()() const { run_->router.go_on(*run_, index_); }

inline void Router::serve(Request& request, Response& response) const {
  auto path = detail::Path::parse(request.path());
  if (!path) throw BadRequest("the path is not percent-encoded rightly");
  Next::Run run{*this, request, response, *std::move(path)};
  go_on(run, 0);
}

inline void Router::go_on(Next::Run& run, std::size_t index) const {
  if (index < run.reached) throw std::logic_error("a middleware called next() twice");
  while (index < middlewares_.size() && !run.path.is_below(middlewares_[index].prefix)) ++index;
  run.reached = index + 1;
  if (index == middlewares_.size()) return answer(run);
  middlewares_[index].run(run.request, run.response, Next(run, index + 1));
}

inline void Router::answer(Next::Run& run) const {
  const auto found = tree_.find(run.request.method(), run.path);
  if (found.route != nullptr) {
    std::vector<Params::Param> params;
    for (const auto& [name, first, rest] : found.route->params) {
      params.push_back({name, rest ? run.path.raw_from(first) : run.path.raw(first),
                        rest ? run.path.decoded_from(first) : std::string(run.path[first])});
    }
    handlers_[found.route->handler](run.request, run.response, Params(std::move(params)));
  } else if (found.allow.empty()) {
    run.response.status(404).text("Not Found\n");
  } else {
    run.response.status(405).header("Allow", found.allow).text("Method Not Allowed\n");
  }
}

}  // namespace appserver
