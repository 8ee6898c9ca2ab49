#include "worker/gateway_host.hpp"

#include <catch2/catch.hpp>
#include <cstddef>
#include <string_view>

using namespace appserver;

namespace {

std::string_view text(appserver_str str) { return {str.data, str.size}; }

}  // namespace

TEST_CASE("a plugin of an older minor gets as much of a client as it knows of") {
  const gateway::KnownClient client{
      "192.0.2.9:1", "198.51.100.1:80", "ws://0.0.0.0:80", "websocket", "ada", {"bytes", 3}};
  appserver_client_info info{};
  info.size = sizeof(info);
  worker::describe(client, info);
  CHECK(info.size == sizeof(info));
  CHECK(text(info.protocol) == "websocket");
  CHECK(text(info.remote) == "192.0.2.9:1");
  CHECK(text(info.local) == "198.51.100.1:80");
  CHECK(text(info.listener) == "ws://0.0.0.0:80");
  CHECK(text(info.uid) == "ada");
  CHECK(text(info.session) == "bytes");
  CHECK(info.session_version == 3);

  appserver_client_info older{};
  older.size = offsetof(appserver_client_info, session_version);
  older.session_version = 7;
  worker::describe(client, older);
  CHECK(older.size == offsetof(appserver_client_info, session_version));
  CHECK(text(older.session) == "bytes");
  CHECK(older.session_version == 7);
}
