#include "control/api.hpp"
#include "control/json_reader.hpp"
#include "control/json_writer.hpp"

namespace appserver::control {

namespace json = boost::json;

json::value to_json(const RolloutEvent& event) {
  json::object out{{"event", to_word(event.kind)}, {"elapsed_ms", event.elapsed.count()}};
  const auto put_text = [&](std::string_view key, const std::string& text) {
    if (!text.empty()) out[key] = text;
  };
  const auto put = [&](std::string_view key, const auto& value) {
    if (value) out[key] = *value;
  };
  put_text("rollout", event.rollout);
  put_text("group", event.group);
  put("slot", event.slot);
  put("pid", event.pid);
  put("old_pid", event.old_pid);
  put_text("build", event.build);
  put_text("text", clean(event.text));
  put("cut", event.cut);
  put("handed_over", event.handed_over);
  put("slots", event.slots);
  put("slots_done", event.slots_done);
  if (event.result) {
    out["result"] = to_word(*event.result);
    out["exit_code"] = exit_code(*event.result);
  }
  return out;
}

RolloutEvent event_from_json(const json::value& value) {
  const JsonReader in(value, "");
  RolloutEvent event;
  event.kind = value_of(kEventKinds, in.text("event")).value_or(EventKind::message);
  const auto get_text = [&](std::string_view key) {
    return in.has(key) ? in.text(key) : std::string();
  };
  event.rollout = get_text("rollout");
  event.group = get_text("group");
  event.build = get_text("build");
  event.text = get_text("text");
  if (in.has("slot")) event.slot = in.integer<std::uint32_t>("slot");
  if (in.has("pid")) event.pid = in.integer<pid_t>("pid");
  if (in.has("old_pid")) event.old_pid = in.integer<pid_t>("old_pid");
  if (in.has("cut")) event.cut = in.count("cut");
  if (in.has("handed_over")) event.handed_over = in.count("handed_over");
  if (in.has("slots")) event.slots = in.integer<std::uint32_t>("slots");
  if (in.has("slots_done")) event.slots_done = in.integer<std::uint32_t>("slots_done");
  if (in.has("elapsed_ms")) {
    event.elapsed = std::chrono::milliseconds(in.integer<std::int64_t>("elapsed_ms"));
  }
  // A rollout that ended in a way we have no word for did not end well as far as we know.
  if (event.kind == EventKind::done) {
    event.result = value_of(kRolloutResults, in.text("result")).value_or(RolloutResult::failed);
  }
  return event;
}

json::value to_json(const RolloutStatus& rollout) {
  json::object out{{"id", rollout.id},
                   {"state", to_word(rollout.state)},
                   {"who", clean(rollout.who)},
                   {"what", clean(rollout.what)},
                   {"release", rollout.release},
                   {"slots", rollout.slots},
                   {"slots_done", rollout.slots_done},
                   {"elapsed_ms", rollout.elapsed.count()},
                   {"left_ms", nullptr},
                   {"text", clean(rollout.text)},
                   {"result", nullptr},
                   {"queued", rollout.queued},
                   {"can_abort", rollout.can_abort}};
  if (rollout.left) out["left_ms"] = rollout.left->count();
  if (rollout.result) out["result"] = to_word(*rollout.result);
  return out;
}

RolloutStatus rollout_from_json(const json::value& value) {
  const JsonReader in(value, "rollout");
  RolloutStatus rollout;
  rollout.id = in.text("id");
  rollout.state = in.word("state", kRolloutStates);
  rollout.who = in.text("who");
  rollout.what = in.text("what");
  rollout.release = in.count("release");
  rollout.slots = in.integer<std::uint32_t>("slots");
  rollout.slots_done = in.integer<std::uint32_t>("slots_done");
  rollout.elapsed = std::chrono::milliseconds(in.integer<std::int64_t>("elapsed_ms"));
  if (in.has("left_ms")) {
    rollout.left = std::chrono::milliseconds(in.integer<std::int64_t>("left_ms"));
  }
  rollout.text = in.text("text");
  if (in.has("result")) {
    rollout.result = value_of(kRolloutResults, in.text("result")).value_or(RolloutResult::failed);
  }
  rollout.queued = in.flag("queued");
  // A daemon that says nothing of it may refuse.
  rollout.can_abort = in.has("can_abort") && in.flag("can_abort");
  return rollout;
}

}  // namespace appserver::control
