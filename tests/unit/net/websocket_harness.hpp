// WebSockets of a StreamServer that begin at an HttpServer, all on one thread.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http_server.hpp"
#include "net/stream_server.hpp"
#include "stream_server_harness.hpp"
#include "websocket_client.hpp"

namespace appserver::test {

using Frames = std::vector<ServerFrame>;

inline std::string handshake(std::string_view more = {}, std::string_view path = "/") {
  return get(path,
             "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
                 std::string(more));
}

inline const std::string kDeflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

inline net::StreamLimits websocket_limits() {
  net::StreamLimits limits = small_stream_limits();
  limits.max_message = 10'000;
  return limits;
}

inline ServerFrame text_frame(std::string text) {
  return {net::websocket::Opcode::text, false, std::move(text)};
}
inline ServerFrame close_frame(unsigned code, std::string_view reason = {}) {
  return {net::websocket::Opcode::close, false, close_payload(code, reason)};
}

// Both servers of a worker.
struct WebSockets : Streaming {
  explicit WebSockets(const net::StreamLimits& limits = websocket_limits())
      : Streaming(limits), http(context, small_limits(), requests, page) {
    requests.server = &http;
    http.on_upgrade([this](net::Handed moved, std::shared_ptr<const net::StreamListener> listener,
                           const appserver_http_request& request) {
      server.open_websocket(std::move(moved), std::move(listener), request);
    });
  }

  Client begin(bool only_websockets = false, std::pair<os::Fd, os::Fd> sockets = tcp_pair()) {
    http.serve(std::move(sockets.first), {},
               std::make_shared<const net::StreamListener>(net::StreamListener{
                   "http://*:1", "websocket", net::stream::Framing::raw, true, only_websockets}));
    return Client(std::move(sockets.second));
  }
  Client open(std::string_view more = {}) { return open(begin(), more); }
  Client open(Client client, std::string_view more) {
    client.send(handshake(more));
    REQUIRE(until([&] {
      client.read_all();
      return client.got("\r\n\r\n");
    }));
    REQUIRE(client.got("101 Switching Protocols"));
    return client;
  }
  bool gets(Client& client, const Frames& all) {
    const bool came = until([&] {
      client.read_all();
      return server_frames(client.received).size() >= all.size();
    });
    return came && server_frames(client.received) == all;
  }

  Script requests;
  net::HttpServer http;
};

}  // namespace appserver::test
