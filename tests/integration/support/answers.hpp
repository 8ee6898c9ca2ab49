// What appserverctl says with --json, of which support/status.hpp knows only the part that every
// test looks at; and builds and configurations for tests of what outlives a daemon.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "support/daemon.hpp"

namespace appserver::integration {

// The plugin that fails on demand (plugins/faults.cpp).
std::filesystem::path faults();

// `build` with something behind its end that no loader looks at: the same code, another build.
std::string variant_of(const std::filesystem::path& build, std::string_view mark);

// As Site::configure(), with these further members of daemon.plugins: "watch: true, keep: 2".
void configure_plugins(const Site& site, std::string_view plugins, std::string_view groups_yaml);

// A verb's one line of JSON. Throw std::runtime_error with its output where it fails.
boost::json::object answer_of(const Daemon& daemon, std::vector<std::string> arguments);
boost::json::array history_of(const Daemon& daemon);  // newest first
boost::json::array crashes_of(const Daemon& daemon);  // newest first
// The newest crash with all that is known of it, once there are `count`.
boost::json::object wait_for_crash(const Daemon& daemon, std::size_t count = 1);

std::vector<std::string> notes_in(const Status& status);
std::int64_t release_in(const Status& status);
std::int64_t recycled_in(const Status& status, const std::string& group = "api");

std::string text_of(const boost::json::object& object, std::string_view key);
// The texts of an array, one a line.
std::string lines_of(const boost::json::object& object, std::string_view key);

}  // namespace appserver::integration
