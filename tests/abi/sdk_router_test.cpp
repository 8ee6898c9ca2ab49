// Routes, their order, and what runs before them.
#include <algorithm>
#include <appserver/plugin.hpp>
#include <appserver/router.hpp>
#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "scripted.hpp"

using namespace appserver;
using Catch::Matchers::Contains;

namespace {

struct Fixture : fake::Scripted {
  Router router;

  Fixture() {
    on_request([this](Request& request, Response& response) { router.serve(request, response); });
  }

  // A route that answers with its pattern and what its braces stand for.
  void add(const std::string& pattern, std::string_view method = "GET") {
    router.route(method, pattern, [pattern](Request&, Response& response, const Params& params) {
      std::string text = pattern;
      for (const char* name : {"id", "rest"}) {
        if (pattern.find(name) != std::string::npos) text += " " + params[name];
      }
      response.text(text);
    });
  }
  fake::Answer ask(const std::string& target, const std::string& method = "GET") {
    return answer({.target = target, .method = method});
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a path segment in braces reaches the handler, decoded once") {
  add("/users/{id}");
  REQUIRE(ask("/users/7").body == "/users/{id} 7");
  REQUIRE(ask("/users/a%2Fb").body == "/users/{id} a/b");
  REQUIRE(ask("/users/a%252Fb").body == "/users/{id} a%2Fb");
  REQUIRE(ask("/users/a+b?x=1").body == "/users/{id} a+b");
  REQUIRE(ask("/%75sers/7").body == "/users/{id} 7");
  for (const char* target :
       {"/users", "/users/", "/users/7/", "/users/7/x", "/user/7", "//users/7", "/", "/Users/7"}) {
    CAPTURE(target);
    REQUIRE(ask(target).status == 404);
  }
}

TEST_CASE_METHOD(Fixture, "the rest of a path may be empty and keeps its slashes") {
  add("/files/{rest...}");
  REQUIRE(ask("/files/").body == "/files/{rest...} ");
  REQUIRE(ask("/files/a/b%20c/").body == "/files/{rest...} a/b c/");
  REQUIRE(ask("/files").status == 404);
  router.get("/raw/{rest...}", [](Request&, Response& response, const Params& params) {
    response.text(std::string(params.raw("rest")));
  });
  REQUIRE(ask("/raw/a%2Fb/%2e%2e").body == "a%2Fb/%2e%2e");
}

TEST_CASE_METHOD(Fixture, "the most specific route answers, whatever the order of adding") {
  const bool forwards = GENERATE(true, false);
  std::vector<std::string> patterns = {"/{rest...}",   "/users/{rest...}",  "/users/{id}",
                                       "/users/me",    "/users/{id}/posts", "/users/me/posts",
                                       "/users/me/x/y"};
  if (!forwards) std::reverse(patterns.begin(), patterns.end());
  for (const std::string& pattern : patterns) add(pattern);
  REQUIRE(ask("/users/me").body == "/users/me");
  REQUIRE(ask("/users/7").body == "/users/{id} 7");
  REQUIRE(ask("/users/7/posts").body == "/users/{id}/posts 7");
  REQUIRE(ask("/users/me/posts").body == "/users/me/posts");
  REQUIRE(ask("/users/me/other").body == "/users/{rest...} me/other");
  REQUIRE(ask("/users/me/x").body == "/users/{rest...} me/x");
  REQUIRE(ask("/users/").body == "/users/{rest...} ");
  REQUIRE(ask("/other").body == "/{rest...} other");
  REQUIRE(ask("/").body == "/{rest...} ");
}

TEST_CASE_METHOD(Fixture,
                 "where only the method differs the answer is 405 and names those allowed") {
  add("/a");
  add("/a", "DELETE");
  add("/b", "POST");
  const auto refused = ask("/a", "PUT");
  REQUIRE(refused.status == 405);
  REQUIRE(refused.header("Allow") == "DELETE, GET, HEAD");
  REQUIRE(ask("/b").header("Allow") == "POST");
  REQUIRE(ask("/b", "HEAD").status == 405);
  REQUIRE(ask("/a", "get").status == 405);
  REQUIRE(ask("/c", "PUT").status == 404);
  REQUIRE(ask("*", "OPTIONS").status == 404);
}

TEST_CASE_METHOD(Fixture, "HEAD is served by GET, and any by whatever has no handler of its own") {
  add("/a");
  router.any("/a", [](Request& request, Response& response) {
    response.status(202).text("any " + std::string(request.method()));
  });
  REQUIRE(ask("/a").body == "/a");
  REQUIRE(ask("/a", "HEAD").status == 200);
  REQUIRE(ask("/a", "PURGE").body == "any PURGE");
}

TEST_CASE_METHOD(Fixture,
                 "a less specific route answers where a more specific one has not the method") {
  add("/users/me");
  add("/users/{id}", "DELETE");
  REQUIRE(ask("/users/me", "DELETE").body == "/users/{id} me");
  REQUIRE(ask("/users/me", "PUT").header("Allow") == "DELETE, GET, HEAD");
}

TEST_CASE_METHOD(Fixture, "every method has its own way to be added") {
  const auto text = [](const char* said) {
    return [said](Request&, Response& response) { response.text(said); };
  };
  router.post("/x", text("post")).put("/x", text("put")).patch("/x", text("patch"));
  router.del("/x", text("del")).get("/x", text("get"));
  REQUIRE(ask("/x", "POST").body == "post");
  REQUIRE(ask("/x", "PUT").body == "put");
  REQUIRE(ask("/x", "PATCH").body == "patch");
  REQUIRE(ask("/x", "DELETE").body == "del");
  REQUIRE(ask("/x").body == "get");
}

TEST_CASE_METHOD(Fixture, "a path that is not percent-encoded rightly gets 400") {
  add("/{rest...}");
  for (const char* target : {"/%", "/%4", "/a/%zz", "/%00", "/a%00b/c"}) {
    CAPTURE(target);
    REQUIRE(ask(target).status == 400);
  }
}

TEST_CASE_METHOD(Fixture, "numbers in a path are converted, and others get 400") {
  router.get("/n/{id}", [](Request&, Response& response, const Params& params) {
    response.text(std::to_string(params.get<int>("id") + 1));
  });
  REQUIRE(ask("/n/41").body == "42");
  REQUIRE(ask("/n/x").status == 400);
  REQUIRE(ask("/n/99999999999").status == 400);
}

TEST_CASE_METHOD(Fixture, "a name that the pattern lacks is a mistake of the plugin") {
  router.get("/a/{id}", [](Request&, Response& response, const Params& params) {
    response.text(params["other"]);
  });
  REQUIRE(ask("/a/1").status == 500);
  REQUIRE_THAT(host.errors(), Contains("the route has no {other}"));
}

TEST_CASE_METHOD(Fixture, "a route that is there already is refused") {
  add("/users/{id}");
  REQUIRE_THROWS_WITH(add("/users/{name}"),
                      "route GET \"/users/{name}\": there is already GET \"/users/{id}\"");
  REQUIRE_NOTHROW(add("/users/{name}", "POST"));
  REQUIRE(ask("/users/7").body == "/users/{id} 7");
}

TEST_CASE_METHOD(Fixture, "routes of which neither is more specific are refused") {
  add("/a/{id}");
  REQUIRE_THROWS_WITH(add("/{x}/b"), Contains("ambiguous with GET \"/a/{id}\""));
  REQUIRE_THROWS_WITH(add("/{x}/b", ""), Contains("ambiguous"));
  REQUIRE_NOTHROW(add("/{x}/b", "POST"));
  add("/p/{rest...}");
  REQUIRE_THROWS_WITH(add("/{x}/q/r"), Contains("ambiguous"));
  REQUIRE_NOTHROW(add("/{x}/q/r/{id}", "PUT"));
  REQUIRE_NOTHROW(add("/{x}"));
}

TEST_CASE_METHOD(Fixture, "a malformed pattern is refused with a reason") {
  const auto refused = [&](const char* pattern, const char* why) {
    CAPTURE(pattern);
    REQUIRE_THROWS_WITH(add(pattern), Contains(why));
  };
  refused("", "begins with '/'");
  refused("users", "begins with '/'");
  refused("/{}", "no name");
  refused("/{a b}", "no name");
  refused("/a{b}", "a whole segment");
  refused("/{b", "a whole segment");
  refused("/{a}/{a}", "twice");
  refused("/{a...}/b", "nothing comes behind");
  REQUIRE_THROWS_AS(router.route("GE T", "/", [](Request&, Response&) {}), std::invalid_argument);
  REQUIRE_THROWS_WITH(router.use("/{a}", [](Request&, Response&, Next) {}), Contains("no braces"));
}

TEST_CASE_METHOD(Fixture, "middlewares run in order, around what comes behind them") {
  std::string order;
  router.use([&](Request&, Response&, Next next) {
    order += "a(";
    next();
    order += ")a";
  });
  router.use([&](Request&, Response& response, Next next) {
    response.header("X-B", "1");
    order += "b";
    next();
  });
  router.get("/", [&](Request&, Response& response) {
    order += "!";
    response.text("ok");
  });
  REQUIRE(ask("/").body == "ok");
  REQUIRE(order == "a(b!)a");
  REQUIRE(ask("/none").status == 404);
  REQUIRE(ask("/").header("X-B") == "1");
}

TEST_CASE_METHOD(Fixture, "a middleware that does not go on answers itself") {
  add("/{rest...}");
  router.use("/admin", [](Request& request, Response& response, Next next) {
    if (!request.header("Authorization")) {
      response.status(401).text("who?");
      return;
    }
    next();
  });
  for (const char* target : {"/admin", "/admin/", "/admin/x", "/%61dmin/x"}) {
    CAPTURE(target);
    REQUIRE(ask(target).status == 401);
  }
  REQUIRE(ask("/administrator").status == 200);
  REQUIRE(ask("/x/admin").status == 200);
  REQUIRE(answer({.target = "/admin/x", .headers = {{"Authorization", "me"}}}).status == 200);
}

TEST_CASE_METHOD(Fixture, "going on twice is a mistake of the plugin") {
  int calls = 0;
  router.use([](Request&, Response&, Next next) {
    next();
    next();
  });
  router.get("/", [&](Request&, Response& response) {
    ++calls;
    response.text("ok");
  });
  REQUIRE(ask("/").failed);
  REQUIRE(calls == 1);
  REQUIRE_THAT(host.errors(), Contains("next() twice"));
}

TEST_CASE_METHOD(Fixture, "an exception passes the middlewares and answers as without a router") {
  bool seen = false;
  router.use([&](Request&, Response&, Next next) {
    try {
      next();
    } catch (...) {
      seen = true;
      throw;
    }
  });
  router.get("/bad", [](Request&, Response&) { throw BadRequest("no"); });
  REQUIRE(ask("/bad").status == 400);
  REQUIRE(seen);
}
