#include "net/client/websocket_opening.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <appserver/detail/text.hpp>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>

#include "net/http/grammar.hpp"
#include "net/websocket/upgrade.hpp"

namespace appserver::net::client {
namespace {

namespace beast_http = boost::beast::http;
using appserver::detail::equal_ignoring_case;
using Head = beast_http::response_header<>;

constexpr std::size_t kMaxOpening = std::size_t{16} << 10;
constexpr std::size_t kNonce = 16;

[[noreturn]] void no_websocket(const std::string& why) {
  throw CallError(Failure::response, "no WebSocket: " + why);
}

std::string fresh_key() {
  std::array<unsigned char, kNonce> nonce{};
  if (RAND_bytes(nonce.data(), static_cast<int>(nonce.size())) != 1)
    throw CallError(Failure::connect, "OpenSSL has no randomness for a WebSocket's key");
  std::array<unsigned char, 2 * kNonce> base64{};
  const int length = ::EVP_EncodeBlock(base64.data(), nonce.data(), static_cast<int>(kNonce));
  return {reinterpret_cast<const char*>(base64.data()), static_cast<std::size_t>(length)};
}

std::string request_of(const Target& target, const WebSocketWish& wish, const std::string& key) {
  HttpRequest request;
  request.fields = wish.fields;
  // Ends with an empty line.
  std::string head = request_head(request, target);
  head.resize(head.size() - 2);
  head += fmt::format(
      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: {}\r\n",
      key);
  if (!wish.subprotocols.empty())
    head += fmt::format("Sec-WebSocket-Protocol: {}\r\n", fmt::join(wish.subprotocols, ", "));
  return head + "\r\n";
}

// The value of a header that stands at most once.
std::string only(const Head& head, std::string_view name) {
  std::string value;
  int seen = 0;
  for (const auto& field : head) {
    if (!equal_ignoring_case({field.name_string().data(), field.name_string().size()}, name))
      continue;
    value.assign(field.value().data(), field.value().size());
    if (++seen > 1) no_websocket(fmt::format("the answer has {} twice", name));
  }
  return value;
}

bool has_token(const Head& head, std::string_view name, std::string_view token) {
  for (const auto& field : head) {
    if (!equal_ignoring_case({field.name_string().data(), field.name_string().size()}, name))
      continue;
    std::string_view list(field.value().data(), field.value().size());
    while (const auto element = net::http::next_list_element(list)) {
      if (equal_ignoring_case(*element, token)) return true;
    }
  }
  return false;
}

// In the order of RFC 6455, section 4.1; gives the subprotocol.
std::string check_answer(const Head& head, const WebSocketWish& wish, const std::string& key) {
  if (head.result_int() != 101)
    no_websocket(fmt::format("the server answers with status {}", head.result_int()));
  if (head.version() != 11) no_websocket("the answer is not HTTP/1.1");
  if (!has_token(head, "Upgrade", "websocket")) no_websocket("the answer lacks Upgrade: websocket");
  if (!has_token(head, "Connection", "upgrade"))
    no_websocket("the answer lacks Connection: Upgrade");
  if (only(head, "Sec-WebSocket-Accept") != websocket::accept_key(key))
    no_websocket("the answer's Sec-WebSocket-Accept is not that of the request");
  if (!only(head, "Sec-WebSocket-Extensions").empty())
    no_websocket("the answer uses an extension that was not asked for");
  std::string chosen = only(head, "Sec-WebSocket-Protocol");
  if (!chosen.empty() && std::ranges::find(wish.subprotocols, chosen) == wish.subprotocols.end())
    no_websocket("the answer chooses a subprotocol that was not asked for");
  return chosen;
}

}  // namespace

void check_wish(const WebSocketWish& wish) {
  HttpRequest request;
  request.fields = wish.fields;
  check_request(request);
  for (const Field& field : wish.fields) {
    if (field.name.size() >= 14 &&
        equal_ignoring_case(std::string_view(field.name).substr(0, 14), "Sec-WebSocket-")) {
      throw CallError(Failure::request,
                      fmt::format("the header {} is set by the client itself", field.name));
    }
  }
  for (const std::string& name : wish.subprotocols) {
    if (!appserver::detail::is_token(name))
      throw CallError(Failure::request, fmt::format("\"{}\" is no name of a subprotocol", name));
  }
}

Work<Upgraded> open_websocket(Transport& transport, const Target& target,
                              const WebSocketWish& wish) {
  const std::string key = fresh_key();
  // Named: gcc 12 destroys some temporaries of a co_await expression twice.
  const std::string request = request_of(target, wish, key);
  co_await transport.write(request);
  beast_http::response_parser<beast_http::empty_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(kMaxOpening));
  // A refusal's body is not read.
  parser.skip(true);
  Upgraded upgraded;
  std::string& come = upgraded.received;
  while (!parser.is_header_done()) {
    if (come.size() >= kMaxOpening) no_websocket("the answer's head is over 16 KiB");
    const std::size_t had = come.size();
    come.resize(kMaxOpening);
    const std::size_t got = co_await transport.read_some(std::span<char>(come).subspan(had));
    come.resize(had + got);
    if (got == 0) throw CallError(Failure::lost, "the server ended the WebSocket's handshake");
    boost::system::error_code error;
    const std::size_t taken =
        parser.put(boost::asio::const_buffer(come.data(), come.size()), error);
    come.erase(0, taken);
    if (error && error != beast_http::error::need_more)
      no_websocket("the answer is no HTTP: " + error.message());
  }
  upgraded.subprotocol = check_answer(parser.get(), wish, key);
  co_return upgraded;
}

}  // namespace appserver::net::client
