// A stream of bytes as lines: what a plugin prints on stdout and stderr, on its way to the log.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace appserver::telemetry {

// Holds at most `limit` bytes. A longer line is delivered in pieces of `limit`, so that nothing is
// lost and nothing grows. Lines end with "\n" or "\r\n" and are delivered without them; the view is
// valid during the call only.
class LineSplitter {
 public:
  explicit LineSplitter(std::size_t limit = 8192) : limit_(limit) {}

  template <typename Deliver>
  void feed(std::string_view bytes, Deliver&& deliver) {
    while (!bytes.empty()) {
      const std::size_t room = limit_ - partial_.size();
      const std::size_t newline = bytes.substr(0, room + 1).find('\n');
      if (newline != std::string_view::npos) {
        end_line(bytes.substr(0, newline), deliver);
        bytes.remove_prefix(newline + 1);
      } else if (bytes.size() < room) {
        partial_.append(bytes);
        return;
      } else {
        end_piece(bytes.substr(0, room), deliver);
        bytes.remove_prefix(room);
      }
    }
  }

  // Delivers what came after the last newline, if anything: the stream has ended.
  template <typename Deliver>
  void finish(Deliver&& deliver) {
    if (partial_.empty()) return;
    deliver(std::string_view(partial_));
    partial_.clear();
  }

 private:
  template <typename Deliver>
  void end_line(std::string_view tail, Deliver& deliver) {
    if (tail.empty() && partial_.empty() && continues_) {
      continues_ =
          false;  // the newline of a line that filled its last piece exactly is no line of its own
      return;
    }
    std::string_view line = tail;
    if (!partial_.empty()) line = partial_.append(tail);
    if (line.ends_with('\r')) line.remove_suffix(1);
    deliver(line);
    partial_.clear();
    continues_ = false;
  }

  template <typename Deliver>
  void end_piece(std::string_view tail, Deliver& deliver) {
    std::string_view piece = tail;
    if (!partial_.empty()) piece = partial_.append(tail);
    deliver(piece);
    partial_.clear();
    continues_ = true;
  }

  std::size_t limit_;
  std::string partial_;
  bool continues_ = false;  // the last piece delivered was the beginning of a longer line
};

}  // namespace appserver::telemetry
