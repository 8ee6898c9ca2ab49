#include "supervisor/prepare.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <stdexcept>

#include "config/load.hpp"
#include "os/privileges.hpp"

namespace appserver::supervisor {
namespace {

const config::Group* find_group(const config::Config& config, const std::string& name) {
  const auto found = std::ranges::find(config.groups, name, &config::Group::name);
  return found == config.groups.end() ? nullptr : &*found;
}

void add_line(std::string& text, const std::string& line) {
  if (!text.empty()) text += '\n';
  text += line;
}

// What a running daemon cannot take over from a changed file.
std::string needs_restart(const config::Config& running, const config::Config& wanted) {
  std::string result;
  if (running.daemon != wanted.daemon) {
    add_line(result, "the `daemon:` section has changed; that needs a restart of appserverd");
  }
  for (const auto& group : running.groups) {
    const config::Group* now = find_group(wanted, group.name);
    if (now == nullptr) {
      add_line(
          result,
          fmt::format(
              "groups.{} is gone from the file; removing a group needs a restart of appserverd",
              group.name));
      continue;
    }
    if (now->count != group.count) {
      add_line(result,
               fmt::format(
                   "groups.{}.count has changed from {} to {}; that needs a restart of appserverd",
                   group.name, group.count, now->count));
    }
    if (now->listen != group.listen) {
      add_line(result,
               fmt::format("groups.{}.listen has changed; that needs a restart of appserverd",
                           group.name));
    }
  }
  for (const auto& group : wanted.groups) {
    if (find_group(running, group.name) == nullptr) {
      add_line(
          result,
          fmt::format("groups.{} is new in the file; adding a group needs a restart of appserverd",
                      group.name));
    }
  }
  return result;
}

}  // namespace

void check_identity(const config::Group& group) {
  if (group.user.empty()) {
    if (!group.group.empty())
      throw std::runtime_error(fmt::format("groups.{}.group: name a `user`, too", group.name));
    return;
  }
  os::Identity identity;
  try {
    identity = os::find_identity(group.user, group.group);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("groups.{}.user: {}", group.name, error.what()));
  }
  if (::geteuid() == 0 || ::geteuid() == identity.uid) return;
  throw std::runtime_error(fmt::format(
      "groups.{}.user: becoming '{}' needs appserverd to run as root", group.name, group.user));
}

Prepared prepare(const PrepareRequest& request, plugin::Store& store) {
  Prepared result;
  config::Config wanted = request.running;
  try {
    if (!wanted.file.empty()) wanted = config::load_file(request.running.file);
  } catch (const std::exception& error) {
    result.refusal = error.what();
    return result;
  }
  result.refusal = needs_restart(request.running, wanted);
  for (const auto& group : wanted.groups) result.configs.emplace(group.name, group);
  if (!result.refusal.empty()) return result;
  for (const auto& name : request.groups) {
    const config::Group& group = result.configs.at(name);
    try {
      check_identity(group);
    } catch (const std::exception& error) {
      add_line(result.refusal, error.what());
      continue;
    }
    try {
      result.releases[name] =
          std::make_shared<const Release>(Release{request.release, group, store.add(group.plugin)});
    } catch (const std::exception& error) {
      add_line(result.refusal, fmt::format("groups.{}.plugin: {}", name, error.what()));
    }
  }
  return result;
}

}  // namespace appserver::supervisor
