#include "supervisor/plan_words.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

namespace appserver::supervisor {
namespace {

std::string describe(const PrepareRequest& request, const GroupPlan& plan) {
  constexpr std::string_view kConfigurationToo = " and its configuration";
  const GroupRelease* const running = request.find(plan.name);
  switch (plan.change) {
    case Change::keep:
      break;
    case Change::add:
      return fmt::format("+{} {}", plan.name, short_sha(plan.target->build));
    case Change::remove:
      return "-" + plan.name;
    case Change::resize: {
      const std::uint32_t count = plan.target->config.count;
      if (running->config.count == count) return fmt::format("the configuration of {}", plan.name);
      config::Group resized = running->config;
      resized.count = count;
      return fmt::format("{} x{} -> x{}{}", plan.name, running->config.count, count,
                         resized == plan.target->config ? "" : kConfigurationToo);
    }
    case Change::roll: {
      const bool same = running->build.sha256 == plan.target->build.sha256;
      std::string text = fmt::format("{} {}", plan.name, short_sha(running->build));
      if (!same) text += " -> " + short_sha(plan.target->build);
      if (running->config != plan.target->config) text += kConfigurationToo;
      return text;
    }
  }
  return {};
}

}  // namespace

std::string note_of_missing(const GroupRelease& group) {
  const std::string& name = group.config.name;
  const std::string what = group.config.dropped
                               ? fmt::format("its {}.yaml is not in {}", name,
                                             group.config.plugin.parent_path().native())
                               : std::string("it is gone from the file");
  return fmt::format("{}; it runs on as release {} has it: `appserverctl reload {}{}` ends it",
                     what, group.number, group.config.reloadable ? "" : "--force ", name);
}

std::string short_sha(const plugin::Build& build) { return build.sha256.substr(0, 7); }

std::string describe(const PrepareRequest& request, const std::vector<GroupPlan>& plan,
                     std::uint64_t back_to) {
  std::vector<std::string> words;
  for (const GroupPlan& each : plan) {
    if (each.change != Change::keep) words.push_back(describe(request, each));
  }
  const std::string all = fmt::format("{}", fmt::join(words, ", "));
  return back_to == 0 ? all : fmt::format("back to {}: {}", back_to, all);
}

}  // namespace appserver::supervisor
