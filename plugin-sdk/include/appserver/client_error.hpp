// What goes wrong with outbound calls.
#pragma once

#include <appserver/abi/client.h>

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>

namespace appserver {

// The base of all; what() names the call: "GET http://host/x: connection refused (127.0.0.1:9)".
class ClientError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// It cannot be sent: its URL, method or headers.
class RequestError final : public ClientError {
 public:
  using ClientError::ClientError;
};
// No such name, refused, unreachable; TlsError too: nothing was sent.
class ConnectError : public ClientError {
 public:
  using ClientError::ClientError;
};
// No handshake, or a certificate that is not good for the host.
class TlsError final : public ConnectError {
 public:
  using ConnectError::ConnectError;
};
// connect_timeout or timeout; whether the other side has done what it was asked for is not known.
class TimeoutError final : public ClientError {
 public:
  using ClientError::ClientError;
};
// What came is no HTTP that can be trusted.
class ResponseError final : public ClientError {
 public:
  using ClientError::ClientError;
};
// The connection ended before the answer was whole.
class ConnectionLost final : public ClientError {
 public:
  using ClientError::ClientError;
};
// The answer's body is over max_body.
class TooLargeError final : public ClientError {
 public:
  using ClientError::ClientError;
};
// A bound was reached: connections to one origin and the queue for them, calls, redirects.
class LimitError final : public ClientError {
 public:
  using ClientError::ClientError;
};

namespace detail {

inline std::exception_ptr client_error(std::uint32_t failure, const std::string& message) {
  switch (failure) {
    case APPSERVER_CALL_REQUEST:
      return std::make_exception_ptr(RequestError(message));
    case APPSERVER_CALL_CONNECT:
      return std::make_exception_ptr(ConnectError(message));
    case APPSERVER_CALL_TIMEOUT:
      return std::make_exception_ptr(TimeoutError(message));
    case APPSERVER_CALL_TLS:
      return std::make_exception_ptr(TlsError(message));
    case APPSERVER_CALL_RESPONSE:
      return std::make_exception_ptr(ResponseError(message));
    case APPSERVER_CALL_LOST:
      return std::make_exception_ptr(ConnectionLost(message));
    case APPSERVER_CALL_TOO_LARGE:
      return std::make_exception_ptr(TooLargeError(message));
    case APPSERVER_CALL_LIMIT:
      return std::make_exception_ptr(LimitError(message));
    default:
      return std::make_exception_ptr(ClientError(message));
  }
}

}  // namespace detail
}  // namespace appserver
