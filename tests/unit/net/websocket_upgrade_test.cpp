#include <catch2/catch.hpp>
#include <string_view>

#include "net/websocket/upgrade.hpp"

using namespace appserver::net::websocket;

namespace {

// The example of RFC 6455, section 1.3.
UpgradeRequest sample() {
  UpgradeRequest request;
  request.method = "GET";
  request.upgrade = "websocket";
  request.connection = "keep-alive, Upgrade";
  request.key = "dGhlIHNhbXBsZSBub25jZQ==";
  request.ws_version = "13";
  return request;
}

}  // namespace

TEST_CASE("the RFC's own handshake is taken, and its key answered") {
  CHECK(wants_upgrade(sample()));
  CHECK(why_not(sample()).status == 0);
  CHECK(accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK(switching_head("dGhlIHNhbXBsZSBub25jZQ==", "chat", true) ==
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
        "client_no_context_takeover\r\n\r\n");
}

TEST_CASE("a request for something else is none for a WebSocket") {
  UpgradeRequest request = sample();
  request.upgrade = "h2c";
  CHECK_FALSE(wants_upgrade(request));
  request.upgrade = "h2c, WebSocket";
  CHECK(wants_upgrade(request));
  CHECK_FALSE(wants_upgrade({}));
}

TEST_CASE("a bad handshake is refused with its status") {
  const auto status = [](auto&& change) {
    UpgradeRequest request = sample();
    change(request);
    return why_not(request).status;
  };
  CHECK(status([](auto& request) { request.method = "POST"; }) == 400);
  CHECK(status([](auto& request) { request.version = 10; }) == 400);
  CHECK(status([](auto& request) { request.connection = "keep-alive"; }) == 400);
  CHECK(status([](auto& request) { request.ws_version = "8"; }) == 426);
  CHECK(status([](auto& request) { request.ws_version = ""; }) == 426);
  CHECK(status([](auto& request) { request.key = ""; }) == 400);
  CHECK(status([](auto& request) { request.key = "dGhlIHNhbXBsZSBub25jZQ="; }) == 400);
  CHECK(status([](auto& request) { request.key = "dGhlIHNhbXBsZSBub25j!Q=="; }) == 400);
}

TEST_CASE("offered protocols are taken in their order, and nothing that is no name") {
  const auto offered = offered_protocols("chat, v2.chat , ,b@d,last");
  REQUIRE(offered.size() == 3);
  CHECK(offered[0] == "chat");
  CHECK(offered[1] == "v2.chat");
  CHECK(offered[2] == "last");
}

TEST_CASE("compression is agreed to where an offer can be served") {
  CHECK(offers_deflate("permessage-deflate"));
  CHECK(offers_deflate("permessage-deflate; client_max_window_bits"));
  CHECK(offers_deflate("permessage-deflate; client_max_window_bits=\"10\""));
  CHECK(offers_deflate("x-other, permessage-deflate; server_no_context_takeover"));
  CHECK(offers_deflate("permessage-deflate; server_max_window_bits=9, permessage-deflate"));
  CHECK_FALSE(offers_deflate(""));
  CHECK_FALSE(offers_deflate("x-webkit-deflate-frame"));
  CHECK_FALSE(offers_deflate("permessage-deflate; server_max_window_bits=9"));
  CHECK_FALSE(offers_deflate("permessage-deflate; client_max_window_bits=7"));
  CHECK_FALSE(offers_deflate("permessage-deflate; client_max_window_bits=08"));
  CHECK_FALSE(offers_deflate("permessage-deflate; server_no_context_takeover=1"));
  CHECK_FALSE(
      offers_deflate("permessage-deflate; server_no_context_takeover; server_no_context_takeover"));
  CHECK_FALSE(offers_deflate("permessage-deflate; unknown"));
}
