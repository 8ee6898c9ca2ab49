// The body of a streamed answer on its way through gzip, a bounded piece of work at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/deflater.hpp"

namespace appserver::net::http {

// A connection holds one from the head of such an answer to its end: about 70 KiB, and what waits.
class BodyCoder final {
 public:
  // Throws std::bad_alloc.
  explicit BodyCoder(int level);
  // Goes on with a stream of gzip that has begun with Deflater's own size.
  explicit BodyCoder(std::unique_ptr<Deflater> begun) : gzip_(std::move(begun)), weight_(4) {}

  // In memory, of those that have not begun elsewhere.
  std::size_t weight() const { return weight_; }

  // Bytes of the body; they wait for run().
  void add(std::string_view piece) { waiting_.append(piece); }
  // There are no more.
  void end() { ended_ = true; }

  std::size_t waiting() const { return waiting_.size() - taken_; }
  bool has_work() const { return waiting() > 0 || (ended_ && !done_); }
  // All of it was given, the end of the stream, too.
  bool is_done() const { return done_; }

  // Appends the compressed form of at most `budget` bytes to `out`, and gives how many were taken.
  // Once nothing waits, all that was added can be read at the other end.
  std::size_t run(std::string& out, std::size_t budget);

 private:
  std::unique_ptr<Deflater> gzip_;
  std::size_t weight_ = 1;
  std::string waiting_;
  std::size_t taken_ = 0;  // of waiting_
  bool ended_ = false;
  bool done_ = false;
};

}  // namespace appserver::net::http
