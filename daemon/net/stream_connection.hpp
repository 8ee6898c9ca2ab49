// One connection of StreamServer: cuts what comes into messages, and sends what the plugin gives.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/connection.hpp"
#include "net/stream_server.hpp"
#include "net/websocket/session.hpp"
#include "net/websocket/upgrade.hpp"

namespace appserver::net {

// Owned by StreamServer, which keeps it while a wait of it is outstanding.
class StreamConnection final : public Connection {
 public:
  // `opener`: of one that this worker has opened, in place of the server's handler.
  StreamConnection(StreamServer& server, std::uint32_t index, Handed moved,
                   std::shared_ptr<const StreamListener> listener,
                   std::shared_ptr<StreamHandler> opener);

  // The first turn, behind the handshake under TLS; `adopted`: it is a predecessor's.
  void begin(bool adopted, const std::string& state);
  // The same, of one that asks for a WebSocket; both are of one request, valid during the call.
  void open(const appserver_http_request& request, const websocket::UpgradeRequest& fields);
  // A turn that no socket event began.
  void run_scheduled();

  appserver_connection id() const { return id_; }
  bool is_ending() const {
    return close_when_sent_ || aborted_ || is_closed() || (websocket_ && websocket_->close_sent);
  }
  bool is_websocket() const { return websocket_ != nullptr; }
  bool is_outbound() const { return opener_ != nullptr; }
  bool has_unsent() const {
    return pending_output() > 0 || (websocket_ && !websocket_->outbox.empty());
  }

  std::int32_t send(std::uint32_t kind, std::string_view message);
  // What a WebSocket's peer is told, and may be (websocket::may_close_with).
  void close(std::uint16_t code = websocket::kNormal, std::string_view reason = {});
  void abort();
  void pause(bool paused);
  void set_context(void* context) { context_ = context; }
  void* context() const { return context_; }
  void describe(appserver_connection_info& info);
  bool can_be_piped() const;
  void pipe_to(StreamConnection& sink);

  // Where nothing but its own turn forbids it: to the successor, if the handler lets it go.
  void move_or_stay();
  void end_politely();
  // Of an outbound one: the worker ends.
  void say_farewell();
  // To be called of all that are to be cut before the first is: whether this one is in the middle
  // of something. Its peer does not take what it got for the whole then: it sees a reset.
  bool begin_cut();
  bool is_part() const { return is_part_; }
  // At once, in the middle of whatever it is.
  void cut();
  void settle() override;

 private:
  void on_readable() override;
  void read();
  void on_writable() override;
  void on_lost() override;
  void on_timeout() override;
  void go_on_with_handshake();
  void make_websocket(Handed& moved);
  // Of the plugin; then the first turn.
  void welcome(bool adopted, const std::string& state);
  void turn(std::span<char> data);
  void process(std::span<char>& data);
  void process_messages(std::string_view& data);
  bool may_deliver() const;
  stream::Cut next_message(std::string_view data);
  stream::Cut measured(std::string_view data);
  void deliver(std::string_view message, bool is_text);
  void deliver_piped(std::string_view data);
  // The peer sends no more. Of a tunnel each direction ends by itself: false where it is none.
  bool end_direction();
  void end_tunnel_output();
  void refuse(const stream::Cut& cut);
  bool flush_turn();
  void check_buffer();
  bool move_to_successor();
  void be_polite();
  void next_wait();
  void set_timeout();
  bool has_message_under_way() const;
  bool is_drained_when_silent() const;
  milliseconds longest_silence() const;
  bool has_framing() const;
  // In a polite drain, between two messages.
  bool may_end_now();
  bool is_tunnel() const;
  bool tunnel_has_unsent() const;
  void reset_at_close();
  void on_slow_message();
  void linger();
  void discard_input();
  void finish(std::uint32_t reason, std::string_view text);
  void forget();
  std::size_t unsent() const;
  bool is_full() const { return full_; }
  StreamConnection* piped_to() const;
  StreamHandler& handler() const { return opener_ ? *opener_ : server_.handler_; }
  void count_refused();
  void complain_of_proxy_header();

  // Of a WebSocket:
  // Whether compressed messages may be worked on in the turn at hand.
  bool may_work();
  // Messages are inflated or compressed in part, or wait for it, and no peer is waited for.
  bool has_own_work() const;
  void schedule_work();
  void process_frames(std::span<char>& data);
  void handle(const websocket::Event& event);
  void answer_ping(std::string_view payload);
  void append_owed_pong(std::string& out);
  void peer_closes(const websocket::Event& event);
  void fail(const websocket::Event& event);
  void start_closing(std::uint16_t code, std::string_view reason);
  // Our close frame is out, or on its way, and the peer's is waited for.
  bool awaits_close() const;
  bool at_boundary() const;
  bool may_close_now();
  // Until it is time for on_quiet(); milliseconds::max(): never.
  milliseconds quiet_time() const;
  void on_quiet();

  StreamServer& server_;
  std::shared_ptr<const StreamListener> listener_;
  std::shared_ptr<StreamHandler> opener_;          // null where a client has connected
  std::unique_ptr<websocket::Session> websocket_;  // null where it is none
  std::string input_;                              // read, not yet delivered
  std::size_t seen_ = 0;                           // of input_: looked at, and no whole message
  appserver_connection id_;
  appserver_connection pipe_to_ = 0;
  appserver_connection piped_from_ = 0;
  void* context_ = nullptr;
  std::string why_;           // it is closed, for on_close
  milliseconds close_at_{0};  // from then on it may end though it is never silent: politely_
  std::uint64_t received_ = 0;
  std::uint64_t received_before_ = 0;  // when the rate of a message was last looked at
  std::uint32_t reason_ = APPSERVER_CLOSED_BY_PLUGIN;
  std::uint32_t index_;
  bool in_turn_ = false;
  bool known_ = false;  // to the plugin: on_close is due
  bool paused_ = false;
  bool full_ = false;
  bool said_full_ = false;
  bool timing_message_ = false;    // the wheel holds the limit of the handshake or message at hand
  bool timing_close_ = false;      // ... of the peer's answer to our close frame
  bool answered_ = false;          // something was sent in the turn at hand
  bool spoke_last_ = false;        // the plugin, behind the last message that it got
  bool speaks_by_itself_ = false;  // it has sent something outside of a turn
  bool waits_for_turn_ = false;    // with what has come, to have time for compressed messages
  bool reads_in_turn_ = false;     // ... and for what the kernel has
  bool in_own_turn_ = false;       // that was waited for
  bool politely_ = false;
  bool stays_ = false;  // the handler did not let it go
  // Of a tunnel:
  bool input_ended_ = false;  // the peer sends no more, and the other end knows
  bool ends_output_ = false;  // nothing is sent behind what waits
  bool output_ended_ = false;
  bool close_when_sent_ = false;
  bool lingering_ = false;
  bool aborted_ = false;
  bool is_part_ = false;  // what was sent so far, where it is cut
};

}  // namespace appserver::net
