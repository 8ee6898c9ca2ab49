#include "channel/boot.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <stdexcept>

namespace appserver::channel {
namespace {

namespace json = boost::json;

json::value optional_number(const std::optional<std::uint64_t>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

std::optional<std::uint64_t> read_optional_number(const json::value& value) {
  if (value.is_null()) return std::nullopt;
  return value.to_number<std::uint64_t>();
}

json::object encode_limits(const config::Group& group) {
  json::object rlimits;
  for (const auto& [name, limit] : group.rlimits) {
    rlimits[name] = json::array{optional_number(limit.soft), optional_number(limit.hard)};
  }
  return json::object{{"max_connections", group.limits.max_connections},
                      {"max_body", group.limits.max_body.value},
                      {"header_timeout", group.limits.header_timeout.count()},
                      {"idle_timeout", group.limits.idle_timeout.count()},
                      {"rlimits", std::move(rlimits)}};
}

void decode_limits(const json::object& object, config::Group& group) {
  group.limits.max_connections = object.at("max_connections").to_number<std::uint32_t>();
  group.limits.max_body.value = object.at("max_body").to_number<std::uint64_t>();
  group.limits.header_timeout =
      std::chrono::milliseconds(object.at("header_timeout").to_number<std::int64_t>());
  group.limits.idle_timeout =
      std::chrono::milliseconds(object.at("idle_timeout").to_number<std::int64_t>());
  for (const auto& entry : object.at("rlimits").as_object()) {
    const json::array& pair = entry.value().as_array();
    group.rlimits[std::string(entry.key())] = {read_optional_number(pair.at(0)),
                                               read_optional_number(pair.at(1))};
  }
}

json::object encode_group(const config::Group& group) {
  json::array listen;
  for (const auto& address : group.listen) {
    listen.push_back(json::object{{"scheme", address.scheme},
                                  {"host", address.host},
                                  {"port", address.port},
                                  {"unix_path", address.unix_path.native()},
                                  {"text", address.text}});
  }
  json::object environment;
  for (const auto& [name, value] : group.environment) environment[name] = value;
  json::array affinity(group.cpu_affinity.begin(), group.cpu_affinity.end());
  return json::object{{"name", group.name},
                      {"listen", std::move(listen)},
                      {"settings", group.settings},
                      {"limits", encode_limits(group)},
                      {"drain_timeout", group.reload.drain_timeout.count()},
                      {"user", group.user},
                      {"group", group.group},
                      {"nice", group.nice ? json::value(*group.nice) : json::value(nullptr)},
                      {"cpu_affinity", std::move(affinity)},
                      {"environment", std::move(environment)},
                      {"working_directory", group.working_directory.native()}};
}

std::string text(const json::value& value) { return json::value_to<std::string>(value); }

template <typename Enum>
Enum read_enum(const json::value& value, json::string_view key, Enum last) {
  const int number = value.at(key).to_number<int>();
  if (number < 0 || number > static_cast<int>(last)) {
    throw std::runtime_error(fmt::format("{} is {}", std::string_view(key), number));
  }
  return static_cast<Enum>(number);
}

config::Group decode_group(const json::object& object) {
  config::Group group;
  group.name = text(object.at("name"));
  for (const auto& entry : object.at("listen").as_array()) {
    config::Listen listen;
    listen.scheme = text(entry.at("scheme"));
    listen.text = text(entry.at("text"));
    listen.host = text(entry.at("host"));
    listen.port = entry.at("port").to_number<std::uint16_t>();
    listen.unix_path = text(entry.at("unix_path"));
    group.listen.push_back(std::move(listen));
  }
  group.settings = text(object.at("settings"));
  decode_limits(object.at("limits").as_object(), group);
  group.reload.drain_timeout =
      std::chrono::milliseconds(object.at("drain_timeout").to_number<std::int64_t>());
  group.user = text(object.at("user"));
  group.group = text(object.at("group"));
  if (!object.at("nice").is_null()) group.nice = object.at("nice").to_number<int>();
  for (const auto& cpu : object.at("cpu_affinity").as_array())
    group.cpu_affinity.push_back(cpu.to_number<int>());
  for (const auto& entry : object.at("environment").as_object()) {
    group.environment[std::string(entry.key())] = text(entry.value());
  }
  group.working_directory = text(object.at("working_directory"));
  return group;
}

}  // namespace

std::string encode(const Boot& boot) {
  return json::serialize(json::object{{"purpose", static_cast<int>(boot.purpose)},
                                      {"slot", boot.slot},
                                      {"generation", boot.generation},
                                      {"plugin_file", boot.plugin_file.native()},
                                      {"build", boot.build},
                                      {"log_level", static_cast<int>(boot.log_level)},
                                      {"group", encode_group(boot.group)}});
}

Boot decode(std::string_view record) {
  try {
    json::parse_options options;
    options.allow_invalid_utf8 = true;  // a path is bytes
    const json::value value =
        json::parse(json::string_view(record.data(), record.size()), {}, options);
    Boot boot;
    boot.purpose = read_enum(value, "purpose", Purpose::preflight);
    boot.slot = value.at("slot").to_number<std::uint32_t>();
    boot.generation = value.at("generation").to_number<std::uint64_t>();
    boot.plugin_file = text(value.at("plugin_file"));
    boot.build = text(value.at("build"));
    boot.log_level = read_enum(value, "log_level", config::LogLevel::error);
    boot.group = decode_group(value.at("group").as_object());
    if (encode(boot) != record) throw std::runtime_error("it says more than a worker understands");
    return boot;
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string("a malformed boot record: ") + error.what());
  }
}

}  // namespace appserver::channel
