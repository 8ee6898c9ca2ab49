// What an outbound HTTP call is made of. Values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace appserver::net::client {

using std::chrono::milliseconds;

struct Field {
  std::string name;
  std::string value;
};

struct HttpOptions {
  milliseconds connect_timeout{5'000};  // name, addresses and TLS together
  milliseconds timeout{30'000};         // the whole call, redirects included
  std::size_t max_body = std::size_t{10} << 20;
  unsigned max_redirects = 0;
  std::string ca_file{};  // PEM; empty: the authorities that the system trusts
};

struct HttpRequest {
  std::string method{"GET"};
  std::string url{};  // http://..., https://..., http://unix:/path/of/socket:/target
  std::vector<Field> fields{};
  std::string body{};
  HttpOptions options{};
};

struct HttpResponse {
  unsigned status = 0;
  std::vector<Field> fields{};  // in the order sent, without those behind a chunked body
  std::string body{};
};

// Numbers as in abi/client.h.
enum class Failure : std::uint32_t {
  request = 1,    // it cannot be sent: its URL, method or headers
  connect = 2,    // no such name, refused, unreachable
  timeout = 3,    // connect_timeout or timeout
  tls = 4,        // no handshake, or a certificate that is not good
  response = 5,   // what came is no HTTP
  lost = 6,       // the connection ended before the answer was whole
  too_large = 7,  // the answer's body is over max_body
  limit = 8,      // a bound of the client's
};

// Stays inside of the client: it ends as a CallFailed.
class CallError final : public std::runtime_error {
 public:
  CallError(Failure what, const std::string& why) : std::runtime_error(why), failure(what) {}
  Failure failure;
};

struct CallFailed {
  Failure failure;
  std::string why;  // "GET http://host/x: connection refused (127.0.0.1:9)"
};

// Of an answer whose body comes in pieces, as it arrives.
struct HttpPieces {
  std::function<void(const HttpResponse&)> on_head;  // without a body; at most once
  std::function<void(std::string_view)> on_data;
};

using CallResult = std::variant<HttpResponse, CallFailed>;
using CallDone = std::function<void(CallResult)>;

}  // namespace appserver::net::client
