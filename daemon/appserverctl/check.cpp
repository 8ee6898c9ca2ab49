#include <fmt/format.h>

#include "appserverctl/text.hpp"
#include "appserverctl/verbs.hpp"
#include "config/load.hpp"

namespace appserver::appserverctl {

int check(const Options& options, const Console& console) {
  const std::string& file = options.names[0];
  try {
    const config::Config config = config::load_file(file, console.environment);
    console.out << fmt::format("{}: ok, {} group{}\n", escaped(file), config.groups.size(),
                               config.groups.size() == 1 ? "" : "s");
    return kDone;
  } catch (const config::ConfigError& error) {
    for (const config::Problem& problem : error.problems()) {
      console.err << escaped_text(config::to_string(problem)) << '\n';
    }
    return kFailed;
  }
}

}  // namespace appserver::appserverctl
