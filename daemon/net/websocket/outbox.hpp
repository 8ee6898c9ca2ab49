// What a WebSocket sends and is not yet a frame, for want of time to compress it.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "net/turn_budget.hpp"
#include "net/websocket/deflate.hpp"
#include "net/websocket/frame.hpp"

namespace appserver::net::websocket {

// One a connection.
class Outbox final {
 public:
  // Compressed at a time: zlib needs up to some 10 ms for it.
  static constexpr std::size_t kPiece = std::size_t{16} << 10;

  bool empty() const { return waiting_.empty(); }
  // The next message is compressed in part.
  bool has_begun() const { return begun_ != nullptr; }
  // Bytes that wait.
  std::size_t size() const { return size_; }

  // Behind all that waits.
  void add(Opcode opcode, std::string_view payload, bool compressed);

  // Appends frames in their order, as long as the turn has time for those that are to be
  // compressed; one that does not get shorter goes as it is.
  void run(std::string& out, Deflate* deflate, TurnBudget& budget, Side side);

 private:
  struct Waiting {
    Opcode opcode;
    bool compressed;
    std::string payload;
  };

  // False: the turn is over.
  bool compress_next(Deflate& deflate, TurnBudget& budget);

  std::deque<Waiting> waiting_;
  std::size_t size_ = 0;
  // Of the next one, once it has begun:
  std::unique_ptr<Deflater> begun_;
  std::size_t taken_ = 0;
  std::string compressed_;
};

}  // namespace appserver::net::websocket
