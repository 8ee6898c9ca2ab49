// A call of HttpClient that is under way, and where its answer goes.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/client/http_exchange.hpp"

namespace appserver::net::client {

struct Call {
  Call(boost::asio::io_context& context, std::uint64_t number, HttpRequest wanted, CallDone call)
      : id(number),
        request(std::move(wanted)),
        done(std::move(call)),
        deadline(context),
        connect_deadline(context),
        resumed(context) {}

  std::uint64_t id;
  HttpRequest request;
  CallDone done;  // empty once it is over
  Target target{};
  std::string origin{};
  std::string said{};  // "GET http://host/x", of the first request
  boost::asio::steady_timer deadline;
  boost::asio::steady_timer connect_deadline;
  std::shared_ptr<Transport> transport{};
  unsigned redirects = 0;
  bool fresh_only = false;  // a kept connection has failed it already

  // Of an answer in pieces:
  std::optional<HttpPieces> pieces{};
  boost::asio::steady_timer resumed;  // never expires: cancelled, it wakes who waits for it
  bool has_begun = false;             // its head was told
  bool paused = false;

  bool is_over() const { return !done; }
  // The deadline is still that which was set last.
  bool is_overdue() const {
    return !(has_begun && paused) &&
           deadline.expiry() <= boost::asio::steady_timer::clock_type::now();
  }
};

// Returns at once where it is not paused, and where it is over.
Work<> until_resumed(std::shared_ptr<Call> call);

// Where it goes on, if its answer says so and that is followed; else null.
const Field* redirection(const Call& call, const HttpResponse& answer);
// Makes it a call of that place. Throws CallError.
void follow(Call& call, unsigned status, std::string_view location);

// Of an answer that nobody wants in pieces it takes nothing.
class CallSink final : public AnswerSink {
 public:
  // `went_on`: another piece has its own time.
  CallSink(std::shared_ptr<Call> call, std::function<void()> went_on);

  bool may_want() const override { return call_->pieces.has_value(); }
  bool begins(const HttpResponse& head) override;
  // Throws CallError where the call is over.
  Work<> take(std::string_view piece) override;

 private:
  // Throws CallError where the call is over.
  Work<> wait_while_paused();

  std::shared_ptr<Call> call_;
  std::function<void()> went_on_;
};

}  // namespace appserver::net::client
