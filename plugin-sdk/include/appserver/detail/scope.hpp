// What runs a tree of coroutines and ends it early. A Scope is one such tree: a root coroutine, and
// what it awaits, down to the one that waits for something outside.
#pragma once

#include <coroutine>
#include <list>
#include <memory>
#include <utility>

namespace appserver::detail {

class Scope;
class TaskSet;

// Who holds the root's frame.
class ScopeOwner {
 public:
  ScopeOwner() = default;
  ScopeOwner(const ScopeOwner&) = delete;
  ScopeOwner& operator=(const ScopeOwner&) = delete;

  // Once: the root has run to its end, or the scope was cancelled and nothing of it is under way.
  // The frame may be destroyed here.
  virtual void scope_ended(Scope& scope) noexcept = 0;

 protected:
  ~ScopeOwner() = default;
};

// Work outside of the loop that refers to a coroutine's frame, and so must end before it.
class Hold {
 public:
  Hold() = default;
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  // Its coroutine is cancelled: end what can still be ended.
  virtual void cancel() noexcept = 0;

 protected:
  ~Hold() = default;
};

// Loop thread only. A coroutine hands over to the next by continue_with() and suspends; resume()
// goes through them one by one. So the stack stays flat, also where the compiler makes no tail
// calls: gcc without optimisation or with a sanitizer.
class Scope : public std::enable_shared_from_this<Scope> {
 public:
  Scope(TaskSet& set, ScopeOwner& owner, std::shared_ptr<Scope> parent = nullptr) noexcept
      : set_(&set), owner_(&owner), parent_(std::move(parent)) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() = default;

  TaskSet& set() const noexcept { return *set_; }

  // The root runs until it waits for something. Once.
  void start(std::coroutine_handle<> root) {
    root_ = root;
    resume(root);
  }

  // Nothing happens where it is stopped.
  void resume(std::coroutine_handle<> coroutine) {
    if (stopped()) return;
    const auto keep = shared_from_this();
    enter();
    next_ = coroutine;
    while (next_ && !stopped()) std::exchange(next_, {}).resume();
    leave();
  }

  // For a coroutine that is about to suspend: the next one. None: it waits.
  void continue_with(std::coroutine_handle<> coroutine) noexcept { next_ = coroutine; }

  // No coroutine of it runs any more; the frames go as soon as nothing is under way. One that runs
  // now ends where it suspends next.
  void cancel() noexcept {
    if (ended_ || cancelled_) return;
    const auto keep = shared_from_this();
    cancelled_ = true;
    enter();
    cancel_holds();
    leave();
  }

  bool cancelled() const noexcept { return cancelled_; }

  // Whether it, or one around it, is cancelled or has ended.
  bool stopped() const noexcept {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_.get()) {
      if (scope->cancelled_ || scope->ended_) return true;
    }
    return false;
  }

  // The owner destroys the frame by itself, or has done so.
  void forget() noexcept { ended_ = true; }

  // Keeps the frames of this scope, and of those around it, until release(). `hold` is asked to
  // cancel at most once, and must live until then.
  using HoldPlace = std::list<std::pair<Scope*, Hold*>>::iterator;
  HoldPlace add_hold(Hold& hold) {
    auto& holds = outermost().holds_;
    const auto place = holds.emplace(holds.end(), this, &hold);
    enter();
    return place;
  }
  void release(HoldPlace place) noexcept {
    const auto keep = shared_from_this();
    outermost().holds_.erase(place);
    leave();
  }

 private:
  bool is_within(const Scope& other) const noexcept {
    const Scope* scope = this;
    while (scope != nullptr && scope != &other) scope = scope->parent_.get();
    return scope != nullptr;
  }

  Scope& outermost() noexcept {
    Scope* scope = this;
    while (scope->parent_) scope = scope->parent_.get();
    return *scope;
  }

  void enter() noexcept {
    for (Scope* scope = this; scope != nullptr; scope = scope->parent_.get()) ++scope->under_way_;
  }

  // The innermost first: its end may let the one around it go on.
  void leave() noexcept {
    for (auto scope = shared_from_this(); scope; scope = scope->parent_) {
      if (--scope->under_way_ == 0) scope->settle();
    }
  }

  void settle() noexcept {
    if (ended_ || !(cancelled_ || (root_ && root_.done()))) return;
    ended_ = true;
    owner_->scope_ended(*this);
  }

  // Each of them may go while it is asked, and take others along.
  void cancel_holds() noexcept {
    auto& holds = outermost().holds_;
    for (auto at = holds.begin(); at != holds.end();) {
      Hold* const hold = at->first->is_within(*this) ? std::exchange(at->second, nullptr) : nullptr;
      if (hold == nullptr) {
        ++at;
        continue;
      }
      hold->cancel();
      at = holds.begin();
    }
  }

  TaskSet* set_;
  ScopeOwner* owner_;
  std::shared_ptr<Scope> parent_;
  std::coroutine_handle<> root_;
  std::coroutine_handle<> next_;
  unsigned under_way_ = 0;  // runs on the stack, and holds; of scopes within this one, too
  bool cancelled_ = false;
  bool ended_ = false;
  std::list<std::pair<Scope*, Hold*>> holds_;  // of the outermost: all within it, once asked null
};

}  // namespace appserver::detail
