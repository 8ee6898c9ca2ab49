// The daemon's entry: reads the command line and becomes a supervisor, or the worker that a
// supervisor started.
#include <fcntl.h>
#include <fmt/format.h>

#include <boost/program_options.hpp>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "channel/process.hpp"
#include "config/load.hpp"
#include "os/process.hpp"
#include "supervisor/run.hpp"
#include "worker/run.hpp"

namespace {

namespace options = boost::program_options;
using namespace appserver;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

// Not by fmt::print, which throws where stderr cannot take it.
void complain(const std::string& what) {
  std::fputs(("appserverd: " + what + "\n").c_str(), stderr);
}

// What is opened next must not take the place of a standard stream that we were started without.
void open_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number: this one.
    static_cast<void>(::open("/dev/null", O_RDWR));
  }
}

options::options_description describe_options() {
  options::options_description all("Options");
  all.add_options()("config,c", options::value<std::string>()->value_name("FILE"),
                    "run the groups that this YAML file describes")(
      "plugin", options::value<std::string>()->value_name("FILE.so"),
      "without a file: run one group with this plugin ...")(
      "listen", options::value<std::vector<std::string>>()->composing()->value_name("URL"),
      "... listening here, such as http://127.0.0.1:8080; may be repeated")(
      "count", options::value<std::uint32_t>()->default_value(1)->value_name("N"),
      "... with this many workers")("check", "only check the configuration: exit 0 if it is valid")(
      "dump-config", "print the configuration with every default filled in, and exit")(
      "version", "print the version and exit")("help,h", "print this and exit");
  return all;
}

void print_help(const options::options_description& all) {
  std::string text;
  for (const auto& option : all.options()) {
    std::string name = "--" + option->long_name();
    if (const std::string parameter = option->format_parameter(); !parameter.empty())
      name += " " + parameter;
    text += fmt::format("  {:<24} {}\n", name, option->description());
  }
  fmt::print(
      "appserverd runs C++ plugins in worker processes and replaces them without losing a "
      "request.\n\n"
      "  appserverd --config app.yaml\n"
      "  appserverd --plugin ./hello.so --listen http://127.0.0.1:8080\n\n"
      "{}\nReload with `appserverctl reload` or SIGHUP, stop with SIGTERM.\n",
      text);
}

config::Config read_config(const options::variables_map& given) {
  if (given.contains("config")) {
    // What was dropped into the plugin folder keeps no daemon from starting.
    const bool runs = !given.contains("check") && !given.contains("dump-config");
    return config::load_file(
        given["config"].as<std::string>(), config::process_environment(),
        runs ? config::DroppedMistakes::are_left_out : config::DroppedMistakes::are_errors);
  }
  std::vector<std::string> listen;
  if (given.contains("listen")) listen = given["listen"].as<std::vector<std::string>>();
  return config::single_plugin(given["plugin"].as<std::string>(), listen,
                               given["count"].as<std::uint32_t>(), std::filesystem::current_path());
}

int run_daemon(int argc, char** argv, const os::BootState& boot_state) {
  const options::options_description all = describe_options();
  options::variables_map given;
  try {
    options::store(options::command_line_parser(argc, argv).options(all).positional({}).run(),
                   given);
    options::notify(given);
  } catch (const options::error& error) {
    complain(fmt::format("{}; see appserverd --help", error.what()));
    return kUsage;
  }
  if (given.contains("help")) {
    print_help(all);
    return 0;
  }
  if (given.contains("version")) {
    fmt::print("appserverd {}\n", APPSERVER_VERSION);
    return 0;
  }
  if (given.contains("config") == given.contains("plugin")) {
    complain(
        "name a configuration (--config FILE) or a plugin (--plugin FILE.so --listen URL); see "
        "appserverd --help");
    return kUsage;
  }
  if (given.contains("config") && (given.contains("listen") || !given["count"].defaulted())) {
    complain("--listen and --count go with --plugin; with --config they stand in the file");
    return kUsage;
  }
  const config::Config config = read_config(given);
  if (given.contains("dump-config")) {
    fmt::print("{}", config::dump(config));
    return 0;
  }
  if (given.contains("check")) {
    fmt::print("{}: valid\n", config.file.empty() ? "the command line" : config.file.native());
    return 0;
  }
  return supervisor::run_supervisor(config, boot_state, APPSERVER_VERSION);
}

int run_as_worker(std::string_view supervisor_pid) {
  pid_t supervisor = 0;
  std::from_chars(supervisor_pid.data(), supervisor_pid.data() + supervisor_pid.size(), supervisor);
  return worker::run_worker(channel::kWorkerChannel, supervisor);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    open_standard_streams();
    if (argc == 3 && std::string_view(argv[1]) == "--worker") return run_as_worker(argv[2]);
    const os::BootState boot_state = os::BootState::capture();
    return run_daemon(argc, argv, boot_state);
  } catch (const std::exception& error) {
    complain(error.what());
    return kFailed;
  }
}
