#include "appserverctl/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <limits>
#include <optional>
#include <string_view>

#include "config/suggest.hpp"
#include "config/values.hpp"
#include "control/gateway_api.hpp"
#include "control/requests.hpp"

namespace appserver::appserverctl {

namespace po = boost::program_options;

namespace {

constexpr std::size_t kAny = std::numeric_limits<std::size_t>::max();
constexpr std::int64_t kMaxNumber = 999'999'999;
constexpr std::int64_t kMaxVersion = std::numeric_limits<std::int64_t>::max();
// What nearly every verb takes is not worth a list of them all.
constexpr std::size_t kMostTakers = 4;
constexpr std::string_view kGateway = "gateway ";

struct VerbRule {
  std::string_view name;
  std::size_t least;  // names
  std::size_t most;
  std::string_view wants;    // the names in words
  std::string_view options;  // those of its own, each between spaces
};

constexpr std::array kVerbs{
    VerbRule{"status", 0, 1, "[GROUP]", " json timeout "},
    VerbRule{"reload", 0, kAny, "[GROUP...]",
             " json timeout no-wait force changed dry-run canary hold confirm-within "},
    VerbRule{"reload status", 0, 0, "", " json timeout "},
    VerbRule{"reload watch", 0, 0, "", " json timeout "},
    VerbRule{"reload abort", 0, 0, "", " json timeout "},
    VerbRule{"reload continue", 0, 0, "", " json timeout "},
    VerbRule{"reload confirm", 0, 0, "", " json timeout "},
    VerbRule{"rollback", 0, 1, "[GROUP]", " json timeout dry-run to "},
    VerbRule{"history", 0, 0, "", " json timeout "},
    VerbRule{"restart", 1, 1, "GROUP", " json timeout "},
    VerbRule{"scale", 2, 2, "GROUP N", " json timeout "},
    VerbRule{"drain", 1, 1, "GROUP/SLOT", " json timeout "},
    VerbRule{"crashes", 0, 0, "[show [N]]", " json timeout "},
    VerbRule{"crashes show", 0, 1, "[N]", " json timeout "},
    VerbRule{"gateway send", 1, 1, "TEXT",
             " json timeout gateway all client uid group except binary "},
    VerbRule{"gateway close", 0, 1, "[REASON]", " json timeout gateway all client uid group code "},
    VerbRule{"gateway destroy", 0, 0, "", " json timeout gateway all client uid group "},
    VerbRule{"gateway bind-uid", 1, 1, "UID", " json timeout gateway all client uid group "},
    VerbRule{"gateway unbind-uid", 0, 0, "", " json timeout gateway all client uid group "},
    VerbRule{"gateway join-group", 1, 1, "NAME", " json timeout gateway all client uid group "},
    VerbRule{"gateway leave-group", 1, 1, "NAME", " json timeout gateway all client uid group "},
    VerbRule{"gateway ungroup", 1, 1, "NAME", " json timeout gateway "},
    VerbRule{"gateway set-session", 1, 1, "TEXT", " json timeout gateway client expected "},
    VerbRule{"gateway session", 0, 0, "", " json timeout gateway all client uid group "},
    VerbRule{"gateway clients", 0, 0, "", " json timeout gateway all client uid group sessions "},
    VerbRule{"gateway count", 0, 0, "", " json timeout gateway all client uid group "},
    VerbRule{"gateway uids", 0, 0, "", " json timeout gateway all client uid group "},
    VerbRule{"gateway groups", 0, 0, "", " json timeout gateway all client uid group "},
    VerbRule{"stop", 0, 0, "", " timeout fast "},
    VerbRule{"check", 1, 1, "FILE", " "},
    VerbRule{"version", 0, 0, "", " json timeout "},
    VerbRule{
        "help", 0, kAny, "",
        " json timeout no-wait force changed dry-run canary hold confirm-within to fast gateway "
        "all client uid group except binary code sessions expected "},
};

constexpr auto kOwnOptions = std::to_array<std::string_view>(
    {"json", "timeout",        "no-wait", "force",  "changed", "dry-run",  "canary",
     "hold", "confirm-within", "to",      "fast",   "gateway", "all",      "client",
     "uid",  "group",          "except",  "binary", "code",    "sessions", "expected"});

constexpr auto kOptions = std::to_array<std::string_view>(
    {"socket",  "config", "json", "timeout",        "no-wait", "force",  "changed", "dry-run",
     "canary",  "hold",   "to",   "confirm-within", "fast",    "help",   "version", "gateway",
     "all",     "client", "uid",  "group",          "except",  "binary", "code",    "sessions",
     "expected"});

po::options_description described() {
  po::options_description options;
  for (const char* with_value : {"socket", "config", "timeout", "canary", "hold", "confirm-within",
                                 "to", "gateway", "code", "expected"}) {
    options.add_options()(with_value, po::value<std::string>());
  }
  for (const char* with_values : {"client", "uid", "group", "except"}) {
    options.add_options()(with_values, po::value<std::vector<std::string>>());
  }
  for (const char* flag : {"json", "no-wait", "force", "changed", "dry-run", "fast", "version",
                           "help,h", "all", "binary", "sessions"}) {
    options.add_options()(flag, "");
  }
  options.add_options()("words", po::value<std::vector<std::string>>());
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
    const std::string option = error.get_option_name();
    const std::string name = option.substr(std::min(option.find_first_not_of('-'), option.size()));
    throw UsageError(fmt::format("unknown option {}{}{}", option == "-" + name ? "-" : "--", name,
                                 config::suggestion(name, kOptions)));
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  return values;
}

const VerbRule& rule_of(const std::string& verb) {
  const auto rule = std::find_if(kVerbs.begin(), kVerbs.end(),
                                 [&](const VerbRule& each) { return each.name == verb; });
  if (rule != kVerbs.end()) return *rule;
  std::vector<std::string_view> names;
  std::vector<std::string_view> of_gateway;
  for (const VerbRule& each : kVerbs) {
    if (each.name.find(' ') == std::string_view::npos) names.push_back(each.name);
    if (each.name.starts_with(kGateway)) of_gateway.push_back(each.name.substr(kGateway.size()));
  }
  if (verb + " " == kGateway)
    throw UsageError(fmt::format("gateway is followed by {}", fmt::join(of_gateway, ", ")));
  names.push_back("gateway");
  throw UsageError(fmt::format("unknown verb '{}'{}", verb, config::suggestion(verb, names)));
}

void check_names(const VerbRule& rule, const std::vector<std::string>& names) {
  const std::size_t count = names.size();
  const std::string usage =
      fmt::format("appserverctl {}{}{}", rule.name, rule.wants.empty() ? "" : " ", rule.wants);
  // A variable of a script that is not set; for all groups it would be far from what was meant.
  if (std::any_of(names.begin(), names.end(), [](const auto& name) { return name.empty(); }))
    throw UsageError(fmt::format("{} is given an empty name; usage: {}", rule.name, usage));
  if (count >= rule.least && count <= rule.most) return;
  const std::string problem = count >= rule.least ? "does not take that many names"
                              : rule.least == 1 && rule.wants != "TEXT"
                                  ? "needs a name"
                                  : fmt::format("needs {}", rule.wants);
  throw UsageError(fmt::format("{} {}; usage: {}", rule.name, problem, usage));
}

void check_applies(const VerbRule& rule, const po::variables_map& values) {
  for (const std::string_view name : kOwnOptions) {
    const bool taken = rule.options.find(fmt::format(" {} ", name)) != std::string_view::npos;
    if (values.count(std::string(name)) == 0 || taken) continue;
    std::vector<std::string_view> takers;
    for (const VerbRule& each : kVerbs) {
      if (each.name != "help" &&
          each.options.find(fmt::format(" {} ", name)) != std::string_view::npos) {
        takers.push_back(each.name);
      }
    }
    const std::string with = takers.size() > kMostTakers
                                 ? std::string()
                                 : fmt::format("; it goes with {}", fmt::join(takers, ", "));
    throw UsageError(fmt::format("{} takes no --{}{}", rule.name, name, with));
  }
}

std::optional<std::string> text_of(const po::variables_map& values, const std::string& option) {
  if (values.count(option) == 0) return std::nullopt;
  return values[option].as<std::string>();
}

std::optional<std::chrono::milliseconds> duration(const po::variables_map& values,
                                                  const std::string& option) {
  const auto text = text_of(values, option);
  if (!text) return std::nullopt;
  const auto value = config::DurationRule{std::chrono::milliseconds(1)}.parse(*text);
  if (!value) throw UsageError(fmt::format("--{}: {}", option, value.problem()));
  return *value;
}

// One that the daemon takes.
std::optional<std::chrono::milliseconds> wait(const po::variables_map& values,
                                              const std::string& option) {
  const auto value = duration(values, option);
  if (value && *value > control::kMaxWait) {
    throw UsageError(fmt::format("--{}: at most 7d", option));
  }
  return value;
}

template <typename Number>
Number number(std::string_view what, const std::string& text, std::int64_t least,
              std::int64_t most) {
  const auto value = config::IntegerRule{least, most}.parse(text);
  if (!value) throw UsageError(fmt::format("{}: {}", what, value.problem()));
  return static_cast<Number>(*value);
}

// The words that belong to the verb rather than name a group. The configuration allows no group
// to be called like them.
void join_verb(Options& options) {
  if (options.names.empty()) return;
  const std::string longer = fmt::format("{} {}", options.verb, options.names.front());
  const bool known = std::any_of(kVerbs.begin(), kVerbs.end(),
                                 [&](const VerbRule& each) { return each.name == longer; });
  if (!known) return;
  options.verb = longer;
  options.names.erase(options.names.begin());
}

// Names that are more than a name become what they say.
void read_names(Options& options) {
  auto& names = options.names;
  if (options.verb == "crashes show" && !names.empty()) {
    options.number = number<std::uint64_t>("crashes show", names[0], 1, kMaxNumber);
    names.clear();
  }
  if (options.verb == "scale") {
    options.count = number<std::uint32_t>("scale", names[1], 1, control::kMaxCount);
    names.pop_back();
  }
  if (options.verb == "drain") {
    const std::size_t slash = names[0].rfind('/');
    if (slash == 0 || slash == std::string::npos || slash + 1 == names[0].size()) {
      throw UsageError(fmt::format(
          "drain needs a worker as GROUP/SLOT, such as api/0, as `appserverctl status` shows them; "
          "not '{}'",
          names[0]));
    }
    options.slot = number<std::uint32_t>("drain: the slot", names[0].substr(slash + 1), 0,
                                         control::kMaxCount - 1);
    names[0].erase(slash);
  }
}

std::vector<std::string> texts_of(const po::variables_map& values, const std::string& option) {
  if (values.count(option) == 0) return {};
  auto texts = values[option].as<std::vector<std::string>>();
  if (std::any_of(texts.begin(), texts.end(), [](const auto& each) { return each.empty(); }))
    throw UsageError(fmt::format("--{} is given an empty name", option));
  return texts;
}

void read_gateway_options(const po::variables_map& values, Options& options) {
  if (!options.verb.starts_with(kGateway)) return;
  GatewayOptions& out = options.of_gateway;
  out.gateway = text_of(values, "gateway").value_or("");
  if (out.gateway.empty())
    throw UsageError(fmt::format("{} needs --gateway NAME, the gateway group", options.verb));
  out.all = values.count("all") != 0;
  out.clients = texts_of(values, "client");
  out.uids = texts_of(values, "uid");
  out.groups = texts_of(values, "group");
  out.except = texts_of(values, "except");
  out.binary = values.count("binary") != 0;
  out.sessions = values.count("sessions") != 0;
  const int kinds = (out.all ? 1 : 0) + (out.clients.empty() ? 0 : 1) + (out.uids.empty() ? 0 : 1) +
                    (out.groups.empty() ? 0 : 1);
  if (kinds > 1) throw UsageError("of --all, --client, --uid and --group, only one kind at a time");
  if (const auto text = text_of(values, "code"))
    out.code = number<std::uint32_t>("--code", *text, 1000, 4999);
  if (const auto text = text_of(values, "expected"))
    out.expected = number<std::uint64_t>("--expected", *text, 0, kMaxVersion);
  if (options.timeout && *options.timeout > control::kMaxGatewayTimeout)
    throw UsageError("--timeout: at most 60s of a gateway");
}

void read_options(const po::variables_map& values, Options& options) {
  options.socket = text_of(values, "socket").value_or("");
  options.config = text_of(values, "config").value_or("");
  options.timeout = duration(values, "timeout");
  options.json = values.count("json") != 0;
  options.force = values.count("force") != 0;
  options.fast = values.count("fast") != 0;
  options.changed = values.count("changed") != 0;
  options.dry_run = values.count("dry-run") != 0;
  options.no_wait = values.count("no-wait") != 0;
  if (const auto text = text_of(values, "canary")) {
    options.canary = number<std::uint32_t>("--canary", *text, 1, control::kMaxCount);
  }
  options.hold = wait(values, "hold");
  options.confirm_within = wait(values, "confirm-within");
  if (const auto text = text_of(values, "to")) {
    options.number = number<std::uint64_t>("--to", *text, 1, kMaxNumber);
  }
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
  join_verb(options);
  const VerbRule& rule = rule_of(options.verb);
  check_names(rule, options.names);
  check_applies(rule, values);
  read_options(values, options);
  read_gateway_options(values, options);
  read_names(options);
  if (options.verb == "reload" && options.force && options.names.empty()) {
    throw UsageError(
        "--force needs the groups to reload by name, as it includes those that are not reloadable");
  }
  if (options.no_wait && options.dry_run && options.verb == "reload") {
    throw UsageError("--no-wait does not go with --dry-run, whose plan would be lost");
  }
  return options;
}

}  // namespace appserver::appserverctl
