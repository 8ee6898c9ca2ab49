#include "net/stream_server.hpp"

#include <utility>

#include "net/stream_connection.hpp"
#include "net/websocket/upgrade.hpp"

namespace appserver::net {
namespace {

// What one read takes at most.
constexpr std::size_t kScratch = std::size_t{64} << 10;

}  // namespace

StreamServer::StreamServer(boost::asio::io_context& context, const StreamLimits& limits,
                           StreamHandler& handler, telemetry::WorkerPage& page)
    : limits_(limits),
      handler_(handler),
      page_(page),
      context_(context),
      date_(std::chrono::system_clock::now()),
      scratch_(kScratch),
      table_(context) {}

StreamServer::~StreamServer() = default;

StreamConnection* StreamServer::add(Handed moved, std::shared_ptr<const StreamListener> listener,
                                    std::shared_ptr<StreamHandler> opener) {
  // The socket closes with `moved`: limits.max_connections is far below this bound.
  if (table_.is_full()) return nullptr;
  const bool outbound = opener != nullptr;
  StreamConnection& made = table_.add([&](std::uint32_t index) {
    return std::make_unique<StreamConnection>(*this, index, std::move(moved), std::move(listener),
                                              std::move(opener));
  });
  if (outbound) {
    ++outbound_;
  } else {
    page_.connections.add();
  }
  return &made;
}

void StreamServer::serve(os::Fd connection, std::shared_ptr<const StreamListener> listener,
                         std::unique_ptr<tls::Session> tls, Ends ends) {
  Handed fresh;
  fresh.ends = std::move(ends);
  fresh.connection = std::move(connection);
  fresh.tls = std::move(tls);
  if (StreamConnection* const made = add(std::move(fresh), std::move(listener)))
    made->begin(false, {});
}

void StreamServer::open_websocket(Handed moved, std::shared_ptr<const StreamListener> listener,
                                  const appserver_http_request& request) {
  const websocket::UpgradeFields fields(request);
  moved.kind = Handed::Kind::websocket;
  moved.deflate = websocket::offers_deflate(fields.request().extensions);
  if (StreamConnection* const made = add(std::move(moved), std::move(listener)))
    made->open(request, fields.request());
}

bool StreamServer::attach(Handed opened, std::shared_ptr<const StreamListener> origin,
                          std::shared_ptr<StreamHandler> handler) {
  StreamConnection* const made = add(std::move(opened), std::move(origin), std::move(handler));
  if (made == nullptr) return false;
  made->begin(false, {});
  return true;
}

void StreamServer::tick() {
  now_ += TimerWheel::kTick;
  date_.refresh(std::chrono::system_clock::now());
  wheel_.tick();
}

websocket::Deflate& StreamServer::deflate() {
  if (!deflate_) deflate_ = std::make_unique<websocket::Deflate>();
  return *deflate_;
}

// Evenly, however many they are: multiples of a number that has no divisor in common with the
// steps.
milliseconds StreamServer::next_closing() {
  constexpr std::uint32_t kSteps = 1000;
  constexpr std::uint32_t kStride = 619;
  const std::uint32_t step = closings_;
  closings_ = (closings_ + kStride) % kSteps;
  return limits_.close_spread * step / kSteps;
}

void StreamServer::adopt(Handed moved, std::shared_ptr<const StreamListener> listener) {
  const std::string state = std::exchange(moved.state, {});
  if (StreamConnection* const made = add(std::move(moved), std::move(listener)))
    made->begin(true, state);
}

StreamConnection* StreamServer::find_ending(appserver_connection connection) {
  StreamConnection* const found = connection == 0 ? nullptr : table_.at(connection);
  return found != nullptr && found->id() == connection ? found : nullptr;
}

StreamConnection* StreamServer::find(appserver_connection connection) {
  StreamConnection* const found = find_ending(connection);
  return found != nullptr && !found->is_closed() ? found : nullptr;
}

void StreamServer::connection_ended(bool outbound) {
  table_.ended();
  if (outbound) {
    --outbound_;
  } else {
    page_.connections.subtract();
  }
  if (on_fewer_) on_fewer_();
}

void StreamServer::hand_over(Sink sink) {
  sink_ = std::move(sink);
  table_.each([](StreamConnection& connection) {
    if (!connection.is_outbound()) connection.move_or_stay();
    connection.settle();
  });
}

void StreamServer::drain_politely() {
  polite_drain_ = true;
  sink_ = nullptr;
  table_.each([](StreamConnection& connection) {
    if (!connection.is_outbound()) connection.end_politely();
  });
}

bool StreamServer::outbound_have_unsent() {
  bool unsent = false;
  table_.each([&unsent](const StreamConnection& connection) {
    unsent = unsent || (connection.is_outbound() && connection.has_unsent());
  });
  return unsent;
}

std::size_t StreamServer::cut() {
  std::size_t open = 0;
  table_.each([&open](StreamConnection& connection) {
    if (connection.begin_cut()) ++open;
  });
  table_.each([](StreamConnection& connection) {
    if (!connection.is_outbound() || connection.is_part()) connection.cut();
    connection.settle();
  });
  return open;
}

void StreamServer::close_outbound() {
  table_.each([](StreamConnection& connection) {
    if (connection.is_outbound()) connection.say_farewell();
  });
}

void StreamServer::cut_outbound() {
  table_.each([](StreamConnection& connection) {
    if (connection.is_outbound()) {
      connection.begin_cut();
      connection.cut();
    }
    connection.settle();
  });
}

std::int32_t StreamServer::send(appserver_connection connection, std::uint32_t kind,
                                std::string_view message) {
  StreamConnection* const found = find(connection);
  return found == nullptr ? APPSERVER_GONE : found->send(kind, message);
}

std::int32_t StreamServer::close(appserver_connection connection, std::uint32_t code,
                                 std::string_view reason) {
  StreamConnection* const found = find(connection);
  if (found == nullptr) return APPSERVER_GONE;
  const std::uint32_t said = code == 0 ? websocket::kNormal : code;
  if (found->is_websocket() && !websocket::may_close_with(said, reason)) return APPSERVER_INVALID;
  found->close(static_cast<std::uint16_t>(said), reason);
  return APPSERVER_OK;
}

std::int32_t StreamServer::abort(appserver_connection connection) {
  StreamConnection* const found = find(connection);
  if (found == nullptr) return APPSERVER_GONE;
  found->abort();
  return APPSERVER_OK;
}

std::int32_t StreamServer::pause(appserver_connection connection, bool paused) {
  StreamConnection* const found = find(connection);
  if (found == nullptr) return APPSERVER_GONE;
  found->pause(paused);
  return APPSERVER_OK;
}

std::int32_t StreamServer::set_context(appserver_connection connection, void* context) {
  StreamConnection* const found = find_ending(connection);
  if (found == nullptr) return APPSERVER_GONE;
  found->set_context(context);
  return APPSERVER_OK;
}

void* StreamServer::context(appserver_connection connection) {
  const StreamConnection* const found = find_ending(connection);
  return found == nullptr ? nullptr : found->context();
}

std::int32_t StreamServer::info(appserver_connection connection, appserver_connection_info& info) {
  StreamConnection* const found = find(connection);
  if (found == nullptr) return APPSERVER_GONE;
  found->describe(info);
  return APPSERVER_OK;
}

std::int32_t StreamServer::pipe(appserver_connection from, appserver_connection to) {
  StreamConnection* const source = find(from);
  StreamConnection* const sink = find(to);
  if (source == nullptr || sink == nullptr) return APPSERVER_GONE;
  if (source == sink || !source->can_be_piped() || !sink->can_be_piped()) return APPSERVER_INVALID;
  source->pipe_to(*sink);
  return APPSERVER_OK;
}

}  // namespace appserver::net
