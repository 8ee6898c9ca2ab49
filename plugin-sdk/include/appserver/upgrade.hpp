// A client's wish for a WebSocket: what the plugin makes of it.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/http.h>

#include <algorithm>
#include <appserver/detail/text.hpp>
#include <appserver/request.hpp>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace appserver {

// Accepted without a subprotocol, unless told otherwise. Valid during on_websocket_open.
class Upgrade {
 public:
  explicit Upgrade(const Request& request) {
    for (const auto& [name, value] : request.headers()) {
      if (detail::equal_ignoring_case(name, "Sec-WebSocket-Protocol")) add(value);
    }
  }
  Upgrade(const Upgrade&) = delete;
  Upgrade& operator=(const Upgrade&) = delete;

  // Subprotocols that the client offers, in its order of preference.
  const std::vector<std::string_view>& offered() const noexcept { return offered_; }

  // One of them. Throws std::invalid_argument for any other.
  void choose(std::string_view protocol) {
    if (std::find(offered_.begin(), offered_.end(), protocol) == offered_.end())
      throw std::invalid_argument("Upgrade::choose: the client does not offer this subprotocol");
    answer_.protocol = protocol;
  }

  // The client gets this HTTP status (400 to 599) and, behind its phrase, a line of text. Throws
  // std::invalid_argument for another status or for a text with control characters.
  void refuse(unsigned status, std::string_view text = {}) {
    if (status < 400 || status > 599)
      throw std::invalid_argument("Upgrade::refuse: a status is 400 to 599");
    if (!detail::is_field_value(text))
      throw std::invalid_argument("Upgrade::refuse: a text is one line without control characters");
    answer_.status = status;
    answer_.text = text;
  }

  // For the SDK.
  struct Answer {
    std::uint32_t status = 0;
    std::string text;
    std::string protocol;
  };
  const Answer& answer() const noexcept { return answer_; }

 private:
  void add(std::string_view list) {
    while (!list.empty()) {
      const std::size_t comma = list.find(',');
      std::string_view name = list.substr(0, comma);
      list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
      while (!name.empty() && (name.front() == ' ' || name.front() == '\t')) name.remove_prefix(1);
      while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.remove_suffix(1);
      if (detail::is_token(name)) offered_.push_back(name);
    }
  }

  std::vector<std::string_view> offered_;
  Answer answer_;
};

}  // namespace appserver
