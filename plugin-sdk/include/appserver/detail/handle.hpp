// What handles of running things have in common: of timers, calls, watches, subscriptions.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace appserver::detail {

// The running ones of a set, which owns them. State::index is the place of each here; State::set is
// null once it has ended.
template <class State>
class Running {
 public:
  void add(std::shared_ptr<State> state) {
    state->index = states_.size();
    states_.push_back(std::move(state));
  }
  void remove(State& state) noexcept {
    const std::shared_ptr<State> ended = std::move(states_[state.index]);
    if (state.index + 1 != states_.size()) {
      states_.back()->index = state.index;
      states_[state.index] = std::move(states_.back());
    }
    states_.pop_back();
    ended->set = nullptr;
  }
  // To hold it while a function of its own runs, which may end it.
  std::shared_ptr<State> keep(const State& state) const noexcept { return states_[state.index]; }
  bool empty() const noexcept { return states_.empty(); }
  std::shared_ptr<State> last() const noexcept { return states_.back(); }

 private:
  std::vector<std::shared_ptr<State>> states_;
};

// State::set has cancel(State&). Loop thread only, the destructor too. May outlive the plugin, then
// it is inert.
template <class State>
class Handle {
 public:
  Handle() = default;
  explicit Handle(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}
  Handle(Handle&&) noexcept = default;
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      cancel();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  ~Handle() { cancel(); }

 protected:
  bool active() const noexcept { return state_ && state_->set != nullptr; }
  void cancel() noexcept {
    const auto state = std::move(state_);
    if (state && state->set != nullptr) state->set->cancel(*state);
  }
  void detach() noexcept { state_.reset(); }
  State& state() const noexcept { return *state_; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace appserver::detail
