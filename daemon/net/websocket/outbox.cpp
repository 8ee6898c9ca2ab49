#include "net/websocket/outbox.hpp"

#include <utility>

namespace appserver::net::websocket {

void Outbox::add(Opcode opcode, std::string_view payload, bool compressed) {
  waiting_.push_back({opcode, compressed, std::string(payload)});
  size_ += payload.size();
}

void Outbox::run(std::string& out, Deflate* deflate, TurnBudget& budget, Side side) {
  while (!waiting_.empty()) {
    const Waiting& next = waiting_.front();
    const bool compresses = next.compressed && deflate != nullptr;
    if (compresses && !compress_next(*deflate, budget)) return;
    const bool shorter = compresses && compressed_.size() < next.payload.size();
    append_frame(out, next.opcode, shorter ? compressed_ : next.payload, shorter, side);
    std::string().swap(compressed_);
    size_ -= next.payload.size();
    waiting_.pop_front();
  }
  // A connection at rest holds no buffer.
  std::deque<Waiting>().swap(waiting_);
}

bool Outbox::compress_next(Deflate& deflate, TurnBudget& budget) {
  const std::string_view payload = waiting_.front().payload;
  while (!begun_ || taken_ < payload.size()) {
    if (!budget.allows_more()) return false;
    if (!begun_) begun_ = deflate.lend_deflater();
    const std::string_view piece = payload.substr(taken_, kPiece);
    taken_ += piece.size();
    const bool last = taken_ == payload.size();
    begun_->append(compressed_, piece, last ? Deflater::Flush::sync : Deflater::Flush::none);
    budget.worked();
  }
  deflate.give_back(std::move(begun_));
  taken_ = 0;
  compressed_.resize(compressed_.size() - kDeflateTail.size());
  return true;
}

}  // namespace appserver::net::websocket
