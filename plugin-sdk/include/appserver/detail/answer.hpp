// An answer being put together, and how it reaches the host.
#pragma once

#include <appserver/abi/http.h>

#include <appserver/detail/text.hpp>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::detail {

class TaskSet;

// One exchange and the way to its host. `exchange` is 0 for none.
struct Exchange {
  const appserver_host* host = nullptr;
  const appserver_http_host* http = nullptr;
  appserver_worker* worker = nullptr;
  appserver_exchange id = 0;
  TaskSet* tasks = nullptr;  // of its worker

  void log_error(std::string_view text) const noexcept {
    host->log(worker, APPSERVER_LOG_ERROR, str(text));
  }
};

// Status, headers and body. What is wrong in them is kept as `problem` and told when the answer is
// sent: setters never throw for it, so that data from a client in a header value cannot end a
// thread of the plugin.
struct Answer {
  struct Field {
    std::string name;
    std::string value;
  };

  std::uint32_t status = 200;
  bool touched = false;
  std::string_view type;  // Content-Type, of static life; empty for none or one in `fields`
  std::vector<Field> fields;
  std::string body;
  std::string problem;

  void set_status(int code) {
    touched = true;
    if (code >= 200 && code <= 599) {
      status = static_cast<std::uint32_t>(code);
    } else {
      problem = "status " + std::to_string(code) + " is not in 200 .. 599";
    }
  }

  void add(std::string_view name, std::string_view value) {
    touched = true;
    if (!is_token(name) || !is_field_value(value)) {
      problem = "header \"" + printable(name) + "\" has a name or a value that HTTP does not allow";
    } else if (equal_ignoring_case(name, "content-type")) {
      set_type(value);
    } else {
      fields.push_back({std::string(name), std::string(value)});
    }
  }

  // Replaces the type that was set before.
  void set_static_type(std::string_view value) {
    touched = true;
    if (!fields.empty()) {
      std::erase_if(fields, [](const Field& field) {
        return equal_ignoring_case(field.name, "content-type");
      });
    }
    type = value;
  }

  void set_type(std::string_view value) {
    set_static_type({});
    if (!is_field_value(value)) {
      problem = "the content type holds a character that HTTP does not allow";
    } else if (!value.empty()) {
      fields.push_back({"Content-Type", std::string(value)});
    }
  }

  // Calls give(const appserver_http_response&) with this answer; returns what it returns.
  template <class Give>
  std::int32_t with_raw(Give&& give) const {
    constexpr std::size_t kFew = 16;
    std::array<appserver_header, kFew> few;
    std::vector<appserver_header> many;
    appserver_header* headers = few.data();
    if (fields.size() >= kFew) {
      many.resize(fields.size() + 1);
      headers = many.data();
    }
    std::uint32_t count = 0;
    if (!type.empty()) headers[count++] = {str("Content-Type"), str(type)};
    for (const Field& field : fields) headers[count++] = {str(field.name), str(field.value)};
    const appserver_http_response raw{sizeof(appserver_http_response), status,   headers, count,
                                      sizeof(appserver_header),        str(body)};
    return give(raw);
  }

  // What the host may have found wrong, for a message.
  std::string refusal() const {
    if (!problem.empty()) return "answer refused: " + problem;
    std::string text =
        "answer refused by the host (headers that frame the message are set by the host alone); "
        "status " +
        std::to_string(status) + ", headers:";
    for (const Field& field : fields) text += " " + field.name;
    return text;
  }

 private:
  static std::string printable(std::string_view text) {
    std::string shown(text.substr(0, 64));
    for (char& c : shown) {
      if (c < 0x20 || c == 0x7f) c = '?';
    }
    return shown;
  }
};

// A plain answer for when something failed; needs no memory, so that it can be sent from a
// destructor.
inline std::int32_t respond_plainly(const Exchange& exchange, std::uint32_t status,
                                    std::string_view text) noexcept {
  const appserver_header type{str("Content-Type"), str("text/plain; charset=utf-8")};
  const appserver_http_response raw{sizeof(appserver_http_response), status,   &type, 1,
                                    sizeof(appserver_header),        str(text)};
  return exchange.http->respond(exchange.worker, exchange.id, &raw);
}

inline std::int32_t respond_failed(const Exchange& exchange) noexcept {
  return respond_plainly(exchange, 500, "Internal Server Error\n");
}

}  // namespace appserver::detail
