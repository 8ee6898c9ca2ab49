#include "appserverctl/progress_view.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "appserverctl/event_view.hpp"
#include "appserverctl/text.hpp"
#include "os/utf8.hpp"

namespace appserver::appserverctl {

namespace {

using control::EventKind;
using control::RolloutEvent;

// A cursor cannot go up beyond the top of the screen.
constexpr std::size_t kMostBars = 8;

std::string cut(const std::string& line, std::size_t columns) {
  std::size_t end = 0;
  for (std::size_t seen = 0; end < line.size(); ++end) {
    if (!os::is_continuation(line[end]) && ++seen > columns) break;
  }
  return line.substr(0, end);
}

// Its step on the bar says all that there is to say.
bool is_only_a_step(const RolloutEvent& event) {
  const EventKind kind = event.kind;
  if (kind == EventKind::slot_replaced && (event.cut.value_or(0) > 0 || event.old_pid))
    return false;
  return kind == EventKind::group_started || kind == EventKind::slot_starting ||
         kind == EventKind::slot_ready || kind == EventKind::slot_draining ||
         kind == EventKind::slot_replaced;
}

}  // namespace

std::string print_bar(const Bar& bar, std::size_t name_width, std::size_t columns) {
  const std::size_t cells = columns < 60 ? 8 : 16;
  const std::uint32_t slots = std::max(bar.slots, 1u);
  const std::uint32_t done = std::min(bar.done, slots);
  const std::size_t filled = cells * done / slots;
  const std::string name = escaped(bar.group);
  const std::string padding(name_width - std::min(name_width, width(name)), ' ');
  const std::string line =
      fmt::format("{}{}  [{}{}] {}/{}{}{}", name, padding, std::string(filled, '#'),
                  std::string(cells - filled, '.'), done, slots, bar.step.empty() ? "" : "  ",
                  escaped(bar.step));
  return cut(line, columns);
}

std::string ProgressView::show(const RolloutEvent& event) {
  std::string out = drawn_ == 0 ? std::string() : fmt::format("\x1b[{}A\x1b[J", drawn_);
  const bool has_slots = !event.group.empty() && event.slots.value_or(0) > 0;
  if (event.kind == EventKind::group_done && find(event.group) != nullptr) {
    out += finish_bar(event);
  } else {
    if (!has_slots || !is_only_a_step(event)) out += print_event(event) + "\n";
    if (has_slots && event.kind != EventKind::group_done) out += move_bar(event);
  }
  for (const Bar& bar : bars_) out += print_bar(bar, name_width_, columns_) + "\n";
  drawn_ = bars_.size();
  return out;
}

Bar* ProgressView::find(const std::string& group) {
  const auto found = std::find_if(bars_.begin(), bars_.end(),
                                  [&](const Bar& each) { return each.group == group; });
  return found == bars_.end() ? nullptr : &*found;
}

// Gives the lines that stay: a bar for which there is no room any more.
std::string ProgressView::move_bar(const RolloutEvent& event) {
  std::string out;
  Bar* bar = find(event.group);
  if (bar == nullptr) {
    if (bars_.size() == kMostBars) {
      out = print_bar(bars_.front(), name_width_, columns_) + "\n";
      bars_.erase(bars_.begin());
    }
    bar = &bars_.emplace_back(Bar{.group = event.group});
    name_width_ = std::max(name_width_, width(escaped(event.group)));
  }
  bar->slots = *event.slots;
  bar->done = event.slots_done.value_or(bar->done);
  bar->step = print_step(event);
  return out;
}

std::string ProgressView::finish_bar(const RolloutEvent& event) {
  Bar bar = *find(event.group);
  std::erase_if(bars_, [&](const Bar& each) { return each.group == event.group; });
  bar.slots = event.slots.value_or(bar.slots);
  bar.done = event.slots_done.value_or(bar.done);
  bar.step = print_step(event);
  // It stays where it is, so it may be longer than a line.
  return print_bar(bar, name_width_, columns_) +
         (event.text.empty() ? "" : ": " + escaped_text(event.text)) + "\n";
}

}  // namespace appserver::appserverctl
