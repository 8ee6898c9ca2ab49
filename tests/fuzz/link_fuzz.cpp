// What one end of a link may be sent: a message of any kind or none, and what is read of it is
// written as the same bytes again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "gateway/link_message.hpp"

namespace gateway = appserver::gateway;

namespace {

template <class T>
void compare(std::string_view message, const std::optional<T>& read,
             void (*append)(std::string&, const T&)) {
  if (!read) return;
  std::string out;
  append(out, *read);
  if (gateway::frame_length(out) != message.size()) std::abort();
  if (std::string_view(out).substr(gateway::kLengthSize) != message) std::abort();
}

void look_at(const gateway::EventMessage& event) {
  static_cast<void>(gateway::read_opening(event.body));
  const auto closing = gateway::read_closing(event.body);
  if (!closing) return;
  std::string out;
  gateway::append_closing(out, *closing);
  if (out != event.body) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using gateway::LinkKind;
  const std::string_view message(reinterpret_cast<const char*>(data), size);
  const auto kind = gateway::kind_of(message);
  if (kind == LinkKind::hello) {
    const auto hello = gateway::read_hello(message);
    // Of other versions nothing more is read.
    if (hello && hello->version == gateway::kLinkVersion)
      compare(message, hello, &gateway::append_hello);
  }
  compare(message, gateway::read_acknowledge(message), &gateway::append_acknowledge);
  compare(message, gateway::read_assign(message), &gateway::append_assign);
  compare(message, gateway::read_command(message), &gateway::append_command);
  compare(message, gateway::read_answer(message), &gateway::append_answer);
  const auto event = gateway::read_event(message);
  compare(message, event, &gateway::append_event);
  if (event) look_at(*event);
  if (gateway::read_refused(message).has_value() != (kind == LinkKind::refused)) std::abort();
  return 0;
}
