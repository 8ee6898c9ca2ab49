#include "support/answers.hpp"

#include <boost/json.hpp>
#include <stdexcept>

namespace appserver::integration {

namespace json = boost::json;

std::filesystem::path faults() {
  return std::filesystem::path(APPSERVER_TEST_PLUGINS) / "faults.so";
}

std::string variant_of(const std::filesystem::path& build, std::string_view mark) {
  return read_whole(build).append(mark);
}

void configure_plugins(const Site& site, std::string_view plugins, std::string_view groups_yaml) {
  std::string text =
      "daemon:\n"
      "  control: {socket: run/appserverd.sock}\n"
      "  state_dir: state\n"
      "  log: {level: info, format: text}\n"
      "  plugins: {dir: plugins, ";
  write_file(site.config_file(), text.append(plugins).append("}\n").append(groups_yaml));
}

json::object answer_of(const Daemon& daemon, std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const auto finished = daemon.ctl(std::move(arguments));
  if (finished.exit.code != 0) throw std::runtime_error(finished.text());
  return json::parse(finished.out).as_object();
}

json::array history_of(const Daemon& daemon) {
  return answer_of(daemon, {"history"}).at("releases").as_array();
}

json::array crashes_of(const Daemon& daemon) {
  return answer_of(daemon, {"crashes"}).at("crashes").as_array();
}

json::object wait_for_crash(const Daemon& daemon, std::size_t count) {
  eventually(
      "there are " + std::to_string(count) + " crash records", 20s,
      [&] { return crashes_of(daemon).size() >= count; }, [&] { return daemon.log(); });
  return answer_of(daemon, {"crashes", "show"});
}

std::vector<std::string> notes_in(const Status& status) {
  std::vector<std::string> notes;
  const auto parsed = json::parse(status.text);
  for (const auto& note : parsed.at("notes").as_array()) {
    notes.emplace_back(note.as_string());
  }
  return notes;
}

std::int64_t release_in(const Status& status) {
  return json::parse(status.text).at("daemon").at("release").to_number<std::int64_t>();
}

std::int64_t recycled_in(const Status& status, const std::string& group) {
  const auto parsed = json::parse(status.text);
  for (const auto& each : parsed.at("groups").as_array()) {
    if (each.at("name").as_string() == group) return each.at("recycled").to_number<std::int64_t>();
  }
  throw std::runtime_error("status has no group " + group + ": " + status.text);
}

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(object.at(key).as_string());
}

std::string lines_of(const json::object& object, std::string_view key) {
  std::string lines;
  for (const auto& line : object.at(key).as_array()) {
    lines.append(line.as_string()).append("\n");
  }
  return lines;
}

}  // namespace appserver::integration
