// Coarse timeouts for many objects, driven by one tick a worker instead of a timer an operation.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace appserver::net {

// Setting a timeout later than the one before costs one store: an entry is looked at again only
// when its old place comes up.
class TimerWheel final {
 public:
  using milliseconds = std::chrono::milliseconds;
  static constexpr milliseconds kTick{100};

  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    virtual ~Entry() { unlink(); }

    // The timeout is over and cleared. May set it again, and may destroy this entry or others.
    virtual void on_timeout() = 0;

   private:
    friend class TimerWheel;
    struct Link {
      Link* previous = nullptr;
      Link* next = nullptr;
    };
    struct Node : Link {
      Entry* owner = nullptr;
    };
    void unlink() {
      if (node_.next == nullptr) return;
      node_.previous->next = node_.next;
      node_.next->previous = node_.previous;
      node_.next = node_.previous = nullptr;
    }
    Node node_;
    std::uint64_t deadline_ = 0;  // in ticks; 0: none
    std::uint64_t place_ = 0;     // the tick at which it is looked at
  };

  TimerWheel() {
    for (auto& slot : slots_) slot.next = slot.previous = &slot;
  }
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Fires between `delay` and `delay` plus two ticks from now.
  void set(Entry& entry, milliseconds delay) {
    entry.deadline_ =
        now_ + 1 + static_cast<std::uint64_t>((delay + kTick - milliseconds(1)) / kTick);
    if (entry.node_.next == nullptr || entry.place_ > entry.deadline_) place(entry);
  }

  void clear(Entry& entry) { entry.deadline_ = 0; }

  // One tick has passed.
  void tick() {
    ++now_;
    Entry::Link due;
    take(slots_[now_ % kSlots], due);
    while (due.next != &due) {
      Entry& entry = *static_cast<Entry::Node*>(due.next)->owner;
      entry.unlink();
      if (entry.deadline_ == 0) continue;
      if (entry.deadline_ > now_) {
        place(entry);
        continue;
      }
      entry.deadline_ = 0;
      entry.on_timeout();
    }
  }

 private:
  static constexpr std::size_t kSlots = 1024;

  void place(Entry& entry) {
    entry.unlink();
    const std::uint64_t furthest = now_ + kSlots - 1;
    entry.place_ = entry.deadline_ < furthest ? entry.deadline_ : furthest;
    Entry::Link& slot = slots_[entry.place_ % kSlots];
    entry.node_.owner = &entry;
    entry.node_.next = &slot;
    entry.node_.previous = slot.previous;
    slot.previous->next = &entry.node_;
    slot.previous = &entry.node_;
  }

  static void take(Entry::Link& from, Entry::Link& to) {
    to.next = to.previous = &to;
    if (from.next == &from) return;
    to.next = from.next;
    to.previous = from.previous;
    to.next->previous = &to;
    to.previous->next = &to;
    from.next = from.previous = &from;
  }

  std::array<Entry::Link, kSlots> slots_;
  std::uint64_t now_ = 0;
};

}  // namespace appserver::net
