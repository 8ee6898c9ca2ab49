#include "appserverctl/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <limits>
#include <span>
#include <string_view>

#include "config/suggest.hpp"
#include "config/values.hpp"

namespace appserver::appserverctl {

namespace po = boost::program_options;

namespace {

constexpr std::size_t kAny = std::numeric_limits<std::size_t>::max();

struct VerbRule {
  std::string_view name;
  std::size_t least;  // names
  std::size_t most;
  std::string_view wants;    // the names in words
  std::string_view options;  // those of its own, each between spaces
};

constexpr std::array kVerbs{
    VerbRule{"status", 0, 1, "[GROUP]", " json timeout "},
    VerbRule{"reload", 0, kAny, "[GROUP...]", " json timeout force "},
    VerbRule{"restart", 1, 1, "GROUP", " json timeout "},
    VerbRule{"stop", 0, 0, "", " timeout fast "},
    VerbRule{"check", 1, 1, "FILE", " "},
    VerbRule{"version", 0, 0, "", " json timeout "},
    VerbRule{"help", 0, kAny, "", " json timeout force fast "},
};

constexpr std::array<std::string_view, 8> kOptions{"socket", "config", "json",    "timeout",
                                                   "force",  "fast",   "version", "help"};

po::options_description described() {
  po::options_description options;
  options.add_options()("socket", po::value<std::string>())("config", po::value<std::string>())(
      "json", "")("timeout", po::value<std::string>())("force", "")("fast", "")("version", "")(
      "help,h", "")("words", po::value<std::vector<std::string>>());
  return options;
}

po::variables_map parsed(const std::vector<std::string>& arguments) {
  namespace style = po::command_line_style;
  const po::options_description options = described();
  po::positional_options_description words;
  words.add("words", -1);
  po::variables_map values;
  try {
    po::store(po::command_line_parser(arguments)
                  .options(options)
                  .positional(words)
                  .style(style::unix_style & ~style::allow_guessing)
                  .run(),
              values);
  } catch (const po::unknown_option& error) {
    std::string name = error.get_option_name();
    name.erase(0, std::min(name.find_first_not_of('-'), name.size()));
    throw UsageError(
        fmt::format("unknown option --{}{}", name, config::suggestion(name, kOptions)));
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  return values;
}

const VerbRule& rule_of(const std::string& verb) {
  const auto rule = std::find_if(kVerbs.begin(), kVerbs.end(),
                                 [&](const VerbRule& each) { return each.name == verb; });
  if (rule != kVerbs.end()) return *rule;
  std::array<std::string_view, kVerbs.size()> names;
  std::transform(kVerbs.begin(), kVerbs.end(), names.begin(),
                 [](const VerbRule& each) { return each.name; });
  throw UsageError(fmt::format("unknown verb '{}'{}", verb, config::suggestion(verb, names)));
}

void check_names(const VerbRule& rule, std::size_t count) {
  if (count >= rule.least && count <= rule.most) return;
  const std::string usage =
      fmt::format("appserverctl {}{}{}", rule.name, rule.wants.empty() ? "" : " ", rule.wants);
  throw UsageError(
      fmt::format("{} {}; usage: {}", rule.name,
                  count < rule.least ? "needs a name" : "does not take that many names", usage));
}

void check_applies(const VerbRule& rule, const po::variables_map& values) {
  for (const std::string_view name : {"json", "timeout", "force", "fast"}) {
    const bool taken = rule.options.find(fmt::format(" {} ", name)) != std::string_view::npos;
    if (values.count(std::string(name)) == 0 || taken) continue;
    std::vector<std::string_view> takers;
    for (const VerbRule& each : kVerbs) {
      if (each.name != "help" &&
          each.options.find(fmt::format(" {} ", name)) != std::string_view::npos) {
        takers.push_back(each.name);
      }
    }
    throw UsageError(
        fmt::format("{} takes no --{}; it goes with {}", rule.name, name, fmt::join(takers, ", ")));
  }
}

std::chrono::milliseconds duration(const std::string& text) {
  const auto value = config::DurationRule{std::chrono::milliseconds(1)}.parse(text);
  if (!value) throw UsageError(fmt::format("--timeout: {}", value.problem()));
  return *value;
}

}  // namespace

Options parse_options(const std::vector<std::string>& arguments) {
  const po::variables_map values = parsed(arguments);
  Options options;
  if (values.count("words") != 0) options.names = values["words"].as<std::vector<std::string>>();
  if (values.count("help") != 0 || values.count("version") != 0) {
    options.verb = values.count("help") != 0 ? "help" : "version";
    options.names.clear();
  } else if (options.names.empty()) {
    throw UsageError("a verb is missing");
  } else {
    options.verb = options.names.front();
    options.names.erase(options.names.begin());
  }
  const VerbRule& rule = rule_of(options.verb);
  check_names(rule, options.names.size());
  check_applies(rule, values);
  if (values.count("socket") != 0) options.socket = values["socket"].as<std::string>();
  if (values.count("config") != 0) options.config = values["config"].as<std::string>();
  if (values.count("timeout") != 0) options.timeout = duration(values["timeout"].as<std::string>());
  options.json = values.count("json") != 0;
  options.force = values.count("force") != 0;
  options.fast = values.count("fast") != 0;
  if (options.force && options.names.empty()) {
    throw UsageError(
        "--force needs the groups to reload by name, as it includes those that are not reloadable");
  }
  return options;
}

}  // namespace appserver::appserverctl
