#include "channel/boot.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <stdexcept>

#include "config/record.hpp"

namespace appserver::channel {
namespace {

namespace json = boost::json;

std::string text(const json::value& value) { return json::value_to<std::string>(value); }

template <typename Enum>
Enum read_enum(const json::value& value, json::string_view key, Enum last) {
  const int number = value.at(key).to_number<int>();
  if (number < 0 || number > static_cast<int>(last)) {
    throw std::runtime_error(fmt::format("{} is {}", std::string_view(key), number));
  }
  return static_cast<Enum>(number);
}

}  // namespace

std::string encode(const Boot& boot) {
  return json::serialize(json::object{{"purpose", static_cast<int>(boot.purpose)},
                                      {"slot", boot.slot},
                                      {"generation", boot.generation},
                                      {"plugin_file", boot.plugin_file.native()},
                                      {"build", boot.build},
                                      {"log_level", static_cast<int>(boot.log_level)},
                                      {"group", config::to_json(boot.group)},
                                      {"has_state", boot.has_state}});
}

Boot decode(std::string_view record) {
  try {
    json::parse_options options;
    options.allow_invalid_utf8 = true;  // a path is bytes
    const json::value value =
        json::parse(json::string_view(record.data(), record.size()), {}, options);
    Boot boot;
    boot.purpose = read_enum(value, "purpose", Purpose::bus);
    boot.slot = value.at("slot").to_number<std::uint32_t>();
    boot.generation = value.at("generation").to_number<std::uint64_t>();
    boot.plugin_file = text(value.at("plugin_file"));
    boot.build = text(value.at("build"));
    boot.log_level = read_enum(value, "log_level", config::LogLevel::error);
    boot.group = config::group_from_json(value.at("group"));
    boot.has_state = value.at("has_state").as_bool();
    if (encode(boot) != record) throw std::runtime_error("it says more than a worker understands");
    return boot;
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string("a malformed boot record: ") + error.what());
  }
}

}  // namespace appserver::channel
