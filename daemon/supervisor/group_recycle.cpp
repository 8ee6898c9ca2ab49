#include <utility>

#include "supervisor/group_machine.hpp"

// The part of the group machine that puts a fresh worker in the place of one that serves.
namespace appserver::supervisor {

using namespace effect;

bool GroupMachine::can_recycle(WorkerId id) const {
  if (rollout_ || stopping_ || !serves(id)) return false;
  return steps_in_progress() == 0 && slots_[find(id)->slot].current == id;
}

Effects GroupMachine::recycle(WorkerId id, bool stop_first, Time now) {
  Effects effects;
  if (!can_recycle(id)) return effects;
  const std::uint32_t index = find(id)->slot;
  SlotView& slot = slots_[index];
  slot.recycling = true;
  slot.cut = 0;
  if (stop_first) {
    slot.emptied = true;
    retire_current(index, "the slot is to be recycled", State::left, now, effects);
  } else {
    slot.successor = spawn(index, slot.release, Role::successor, now, effects);
  }
  return finish(now, std::move(effects));
}

// The old worker of a slot that is recycled stop-first is gone.
void GroupMachine::refill(std::uint32_t index, std::uint64_t cut, Time now, Effects& effects) {
  SlotView& slot = slots_[index];
  slot.emptied = false;
  slot.cut = cut;
  if (!rollout_) {
    slot.successor = spawn(index, slot.release, Role::successor, now, effects);
    return;
  }
  // A rollout has begun meanwhile: to it this is a slot without a worker.
  end_recycling(index, false, "a rollout begins", 0, effects);
  if (!is_doomed(index)) slot.next_try = now;
}

void GroupMachine::end_recycling(std::uint32_t index, bool replaced, const std::string& text,
                                 std::uint64_t cut, Effects& effects) {
  if (!std::exchange(slots_[index].recycling, false)) return;
  effects.push_back(Recycled{index, replaced, replaced ? std::string() : text, cut});
}

}  // namespace appserver::supervisor
