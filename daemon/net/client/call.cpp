#include "net/client/call.hpp"

#include <algorithm>
#include <appserver/detail/text.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace appserver::net::client {
namespace {

std::string in_lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return out;
}

bool is_redirect(unsigned status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

const Field* redirection(const Call& call, const HttpResponse& answer) {
  if (call.request.options.max_redirects == 0 || !is_redirect(answer.status)) return nullptr;
  const auto found = std::ranges::find_if(answer.fields, [](const Field& field) {
    return appserver::detail::equal_ignoring_case(field.name, "location");
  });
  return found == answer.fields.end() ? nullptr : &*found;
}

// As browsers do (RFC 9110, section 15.4): what was posted is not posted again, unless the answer
// says so, and credentials do not go to another host.
void follow(Call& call, unsigned status, std::string_view location) {
  const std::string url = resolve_location(call.request.url, location);
  const Target target = parse_target(url);
  if (!target.unix_socket.empty() || !call.target.unix_socket.empty())
    throw CallError(Failure::response, "the answer redirects to or from a unix socket");
  if (call.target.tls && !target.tls)
    throw CallError(Failure::response, "the answer redirects from https:// to http://");
  const bool becomes_get = (status == 303 && call.request.method != "HEAD") ||
                           ((status == 301 || status == 302) && call.request.method == "POST");
  auto& fields = call.request.fields;
  if (becomes_get) {
    call.request.method = "GET";
    call.request.body.clear();
    std::erase_if(fields, [](const Field& field) {
      return in_lower_case(field.name).starts_with("content-");
    });
  }
  if (target.origin() != call.target.origin()) {
    std::erase_if(fields, [](const Field& field) {
      const std::string name = in_lower_case(field.name);
      return name == "authorization" || name == "cookie" || name == "host";
    });
  }
  call.request.url = url;
  call.target = target;
}

Work<> until_resumed(std::shared_ptr<Call> call) {
  while (call->paused && !call->is_over()) {
    call->resumed.expires_at(boost::asio::steady_timer::time_point::max());
    co_await call->resumed.async_wait(
        boost::asio::as_tuple(boost::asio::use_awaitable_t<Executor>{}));
  }
}

CallSink::CallSink(std::shared_ptr<Call> call, std::function<void()> went_on)
    : call_(std::move(call)), went_on_(std::move(went_on)) {}

bool CallSink::begins(const HttpResponse& head) {
  if (!call_->pieces || call_->is_over() || redirection(*call_, head) != nullptr) return false;
  call_->has_begun = true;
  call_->pieces->on_head(head);
  if (!call_->is_over() && !call_->paused) went_on_();
  return true;
}

Work<> CallSink::take(std::string_view piece) {
  co_await wait_while_paused();
  call_->pieces->on_data(piece);
  co_await wait_while_paused();
  went_on_();
}

Work<> CallSink::wait_while_paused() {
  co_await until_resumed(call_);
  if (call_->is_over()) throw CallError(Failure::lost, "cancelled");
}

}  // namespace appserver::net::client
