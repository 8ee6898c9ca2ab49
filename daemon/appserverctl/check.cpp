#include <appserver/abi.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "appserverctl/text.hpp"
#include "appserverctl/verbs.hpp"
#include "config/load.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "plugin/report.hpp"

namespace appserver::appserverctl {
namespace {

// As a reload that is refused in preflight.
constexpr int kDoesNotFit = 3;

bool is_plugin(const std::string& file) {
  if (file.ends_with(".so")) return true;
  constexpr std::string_view kMagic = "\177ELF";
  // Of what cannot be read the reader of the configuration complains.
  const os::Fd opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  std::array<char, kMagic.size()> start{};
  const auto got =
      os::retry_on_interrupt([&] { return ::read(opened.get(), start.data(), start.size()); });
  return got == static_cast<ssize_t>(start.size()) &&
         std::string_view(start.data(), start.size()) == kMagic;
}

const char* word_for(plugin::Verdict verdict) {
  switch (verdict) {
    case plugin::Verdict::ok:
      return "ok";
    case plugin::Verdict::bad:
      return "BAD";
    case plugin::Verdict::info:
      break;
  }
  return "";
}

std::string print_findings(const std::vector<plugin::Finding>& findings) {
  std::size_t longest = 0;
  for (const auto& finding : findings) longest = std::max(longest, finding.field.size());
  std::string text;
  for (const auto& finding : findings) {
    text += fmt::format("{:<{}}  {:<3}  {}\n", finding.field, longest, word_for(finding.verdict),
                        escaped(finding.value));
    if (!finding.advice.empty())
      text += fmt::format("{:<{}}       {}\n", "", longest, escaped(finding.advice));
  }
  return text;
}

int check_plugin(const std::string& file, const Console& console) {
  const auto findings = plugin::examine_file(file);
  const auto problems = plugin::count_problems(findings);
  console.out << print_findings(findings);
  if (problems == 0) {
    console.out << fmt::format("{}: fits appserverd ABI {}.{}\n", escaped(file),
                               APPSERVER_ABI_MAJOR, APPSERVER_ABI_MINOR);
    return kDone;
  }
  console.out << fmt::format("{}: does not fit: {} problem{}\n", escaped(file), problems,
                             problems == 1 ? "" : "s");
  return kDoesNotFit;
}

int check_config(const std::string& file, const Console& console) {
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

}  // namespace

int check(const Options& options, const Console& console) {
  const std::string& file = options.names[0];
  return is_plugin(file) ? check_plugin(file, console) : check_config(file, console);
}

}  // namespace appserver::appserverctl
