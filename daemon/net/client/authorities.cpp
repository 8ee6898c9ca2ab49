#include "net/client/authorities.hpp"

#include <fmt/format.h>

#include <exception>
#include <system_error>

#include "net/client/http_call.hpp"
#include "os/fd.hpp"

namespace appserver::net::client {
namespace {

constexpr std::size_t kMaxFile = std::size_t{4} << 20;
constexpr std::size_t kMostKept = 16;

}  // namespace

std::shared_ptr<const tls::ClientContext> Authorities::context(const std::string& file,
                                                               const std::string& alpn) {
  std::error_code none;
  const auto changed = file.empty() ? std::filesystem::file_time_type{}
                                    : std::filesystem::last_write_time(file, none);
  const auto found = read_.find({file, alpn});
  if (!none && found != read_.end() && found->second.changed == changed)
    return found->second.context;
  try {
    tls::ClientRules rules;
    if (!alpn.empty()) rules.alpn = {alpn};
    if (!file.empty()) rules.authorities = os::read_file(file, kMaxFile);
    auto made = std::make_shared<const tls::ClientContext>(rules);
    if (read_.size() >= kMostKept) read_.clear();
    read_[{file, alpn}] = {changed, made};
    return made;
  } catch (const std::exception& error) {
    throw CallError(Failure::tls, fmt::format("ca_file {}: {}", file, error.what()));
  }
}

}  // namespace appserver::net::client
