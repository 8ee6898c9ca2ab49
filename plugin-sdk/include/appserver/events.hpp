// Server-sent events: what EventSource in a browser reads.
#pragma once

#include <appserver/http.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver {

struct Event {
  std::string_view event = {};                          // its type; empty: "message"
  std::string_view id = {};                             // comes back as Last-Event-ID; empty: none
  std::string_view data = {};                           // UTF-8, any number of lines
  std::optional<std::chrono::milliseconds> retry = {};  // how long a client waits to come again
};

namespace detail {

// One field for each line of the text, whether it ends in CR, LF or both.
inline void append_lines(std::string& out, std::string_view field, std::string_view text) {
  for (;;) {
    const std::size_t end = text.find_first_of("\r\n");
    out.append(field).append(text.substr(0, end)).append("\n");
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + (text.substr(end, 2) == "\r\n" ? 2 : 1));
  }
}

inline std::string format_event(const Event& event) {
  if (event.event.find_first_of("\r\n") != std::string_view::npos)
    throw std::invalid_argument("an event's type is one line");
  if (event.id.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
    throw std::invalid_argument("an event's id is one line without NUL");
  std::string text;
  text.reserve(event.data.size() + event.event.size() + event.id.size() + 64);
  if (!event.event.empty()) text.append("event: ").append(event.event).append("\n");
  if (!event.id.empty()) text.append("id: ").append(event.id).append("\n");
  if (event.retry) text.append("retry: ").append(std::to_string(event.retry->count())).append("\n");
  append_lines(text, "data: ", event.data);
  return text.append("\n");
}

}  // namespace detail

// The events of one client. Threads as of Stream. Destroyed, or closed, it ends the answer, and
// EventSource comes again by itself. A draining worker waits for it, up to drain_timeout: close it
// in on_worker_drain, or keep it in EventStreams and close those, so that its client comes again to
// the new build.
class [[nodiscard]] EventStream {
 public:
  EventStream() = default;

  // Begins the answer, with the headers set so far. Throws as Response::stream.
  explicit EventStream(Response& response)
      : stream_(response.header("Cache-Control", "no-cache")
                    .header("X-Accel-Buffering", "no")
                    .stream("text/event-stream")) {}
  EventStream(EventStream&&) noexcept = default;
  EventStream& operator=(EventStream&& other) noexcept {
    if (this != &other) {
      close();
      stream_ = std::move(other.stream_);
    }
    return *this;
  }
  ~EventStream() { close(); }

  // Throws std::invalid_argument where type or id holds a line break. kFull: not sent, the client
  // reads too slowly; leave it out, or close.
  Write send(const Event& event) { return stream_.write(detail::format_event(event)); }

  // Something that clients do not see: every 15 s or so it keeps proxies from ending a silent
  // stream, and tells whether the client is still there.
  Write comment(std::string_view text = {}) {
    std::string lines;
    detail::append_lines(lines, ": ", text);
    return stream_.write(lines.append("\n"));
  }

  bool alive() const noexcept { return stream_.alive(); }

  void close() noexcept { stream_.finish(); }

 private:
  friend class EventStreams;
  Stream stream_;
};

// The clients of one kind of events. [loop]
class EventStreams {
 public:
  // After close() it ends at once: the client comes again, and finds another worker.
  void add(EventStream stream) {
    if (closed_) return stream.close();
    streams_.push_back(std::move(stream));
  }

  // To each; those that have left are dropped. One that reads too slowly misses it. Throws as
  // EventStream::send.
  void send(const Event& event) {
    const std::string text = detail::format_event(event);
    std::erase_if(streams_,
                  [&](EventStream& each) { return each.stream_.write(text) == Write::kGone; });
  }

  // As EventStream::comment, to each.
  void comment(std::string_view text = {}) {
    std::erase_if(streams_, [&](EventStream& each) { return each.comment(text) == Write::kGone; });
  }

  std::size_t size() const noexcept { return streams_.size(); }

  // Ends all, and each that is still added: for on_worker_drain.
  void close() noexcept {
    closed_ = true;
    streams_.clear();
  }

 private:
  std::vector<EventStream> streams_;
  bool closed_ = false;
};

// What a client that comes again has got last; empty for one that comes anew.
inline std::string_view last_event_id(const Request& request) noexcept {
  return request.header("Last-Event-ID", {});
}

}  // namespace appserver
