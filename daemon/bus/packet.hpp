// What the bus sends to workers, and the memory that all of it may take.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace appserver::bus {

// Bytes of packets that are not sent, and of what keeps them in their queues.
class Budget final {
 public:
  explicit Budget(std::size_t most) : most_(most) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  void take(std::size_t bytes) { used_ += bytes; }
  void give_back(std::size_t bytes) { used_ -= bytes; }
  std::size_t used() const { return used_; }
  bool is_exceeded() const { return used_ > most_; }

 private:
  std::size_t most_;
  std::size_t used_ = 0;
};

// One packet for all who wait for it, counted once for as long as one of them does.
class Packet final {
 public:
  // What one costs beside its bytes, with what the allocator adds.
  static constexpr std::size_t kOverhead = 128;

  // `from` is who has published it, for people; null for a result.
  Packet(Budget& budget, std::string bytes, std::shared_ptr<const std::string> from)
      : budget_(budget), bytes_(std::move(bytes)), from_(std::move(from)) {
    budget_.take(bytes_.size() + kOverhead);
  }
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;
  ~Packet() { budget_.give_back(bytes_.size() + kOverhead); }

  std::string_view bytes() const { return bytes_; }
  std::string_view from() const { return from_ ? std::string_view(*from_) : std::string_view(); }

 private:
  Budget& budget_;
  std::string bytes_;
  std::shared_ptr<const std::string> from_;
};

}  // namespace appserver::bus
