// The link between a gateway group and the business groups of other daemons.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "config/listen.hpp"
#include "config/paths.hpp"
#include "config/readers.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr std::array<std::string_view, 4> kLinkKeys = {"listen", "secret_file", "tls", "timeout"};
constexpr std::array<std::string_view, 4> kRemoteKeys = {"connect", "secret_file", "tls",
                                                         "timeout"};
constexpr std::array<std::string_view, 3> kListenTlsKeys = {"certificate", "key", "client_ca"};
constexpr std::array<std::string_view, 4> kConnectTlsKeys = {"ca", "certificate", "key",
                                                             "server_name"};
constexpr std::string_view kListenExpected =
    "an address such as tls://*:7272 or unix:run/link.sock";
constexpr std::string_view kConnectExpected =
    "an address such as tls://gate.example:7272 or unix:run/link.sock";
// Several peers ask for each other in turn.
constexpr milliseconds kLeastTimeout{1'000};
constexpr std::size_t kMostTargets = 64;

// "unix:PATH" as the addresses of groups have it.
std::string with_scheme(const std::string& text) {
  return text.starts_with(kUnixPrefix) ? "tcp://" + text : text;
}

bool is_of_link(std::string_view scheme) { return scheme == "tcp" || scheme == "tls"; }

bool is_host_name(std::string_view host) {
  constexpr std::string_view kChars =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  return !host.empty() && host.size() <= 253 && host.front() != '-' && host.front() != '.' &&
         host.find_first_not_of(kChars) == std::string_view::npos;
}

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || rest != end || text.empty() || port == 0) return std::nullopt;
  return port;
}

// Literal addresses, and those of unix sockets, as parse_listen has them; names stay names.
Parsed<LinkTarget> parse_target(const std::string& given, const std::filesystem::path& folder) {
  const std::string text = with_scheme(given);
  const std::string_view scheme = std::string_view(text).substr(0, text.find("://"));
  if (!is_of_link(scheme) || scheme.size() + 3 > text.size())
    return wrong_value(kConnectExpected, given, "it begins with tcp://, tls:// or unix:");
  LinkTarget target;
  target.tls = scheme == "tls";
  const std::string_view rest = std::string_view(text).substr(scheme.size() + 3);
  const std::size_t colon = rest.rfind(':');
  const std::string_view host = rest.substr(0, colon);
  const bool is_name = is_host_name(host) &&
                       host.find_first_not_of("0123456789.") != std::string_view::npos &&
                       host != "localhost" && host != "unix";
  if (is_name) {
    const auto port =
        colon == std::string_view::npos ? std::nullopt : port_of(rest.substr(colon + 1));
    if (!port) return wrong_value(kConnectExpected, given, "add a port from 1 to 65535");
    target.host = host;
    target.port = *port;
    target.text = fmt::format("{}://{}:{}", scheme, host, *port);
    return target;
  }
  const auto address = parse_listen(text, folder);
  if (!address) return failed(address.problem());
  if ((*address).host == "*" || (!(*address).is_unix() && (*address).port == 0))
    return wrong_value(kConnectExpected, given, "it names one host, and a port from 1 to 65535");
  if ((*address).is_unix() && target.tls)
    return wrong_value(kConnectExpected, given, "nobody is between the ends of a unix socket");
  target.host = (*address).host;
  target.port = (*address).port;
  target.unix_path = (*address).unix_path;
  target.text =
      (*address).is_unix() ? fmt::format("unix:{}", target.unix_path.native()) : (*address).text;
  return target;
}

// Calls what(text, node, path) for the text of a key, or each one of a list.
template <typename What>
void each_text(const Section& section, std::string_view key, std::string_view expected,
               What&& what) {
  const Entry* const entry = section.find(key);
  if (entry == nullptr) return;
  const std::string path = section.path_of(key);
  const auto one = [&](const Node& node, const std::string& where) {
    const std::string* const text = section.scope().scalar(node, where, expected);
    if (text != nullptr) what(*text, node, where);
  };
  if (entry->value->kind != NodeKind::sequence) return one(*entry->value, path);
  for (std::size_t i = 0; i < entry->value->items.size(); ++i)
    one(*entry->value->items[i], fmt::format("{}[{}]", path, i));
}

void read_link_addresses(const Section& link, GroupSource& source) {
  const Scope& scope = link.scope();
  const std::uint32_t last = source.group.count - 1;
  each_text(link, "listen", kListenExpected,
            [&](const std::string& text, const Node& node, const std::string& path) {
              auto listen = parse_listen(with_scheme(text), scope.document.folder);
              if (!listen) return scope.complain(node, path + ": " + listen.problem());
              Listen& found = *listen;
              const auto refuse = [&](std::string_view why) {
                scope.complain(node, fmt::format("{}: {}", path,
                                                 wrong_value(kListenExpected, text, why).problem));
              };
              if (!is_of_link(found.scheme)) return refuse("a link is tcp://, tls:// or unix:");
              if (found.is_unix() && found.is_tls())
                return refuse("nobody is between the ends of a unix socket");
              if (!found.is_unix() && found.port == 0)
                return refuse(
                    "the worker of slot n is n ports on, so that the first is one to "
                    "name");
              if (!found.is_unix() && last > kLastPort - found.port)
                return refuse(
                    fmt::format("with {} workers the last one's port would be beyond "
                                "{}",
                                last + 1, kLastPort));
              if (found.is_unix()) {
                const std::string problem =
                    unix_path_problem(found.unix_path.native() + fmt::format(".{}", last));
                if (last > 0 && !problem.empty()) return refuse(problem);
              }
              source.group.link.listen.push_back(std::move(found));
              source.link_places.push_back(scope.document.at(node));
            });
}

void require(const Section& section, const Entry& entry, std::string_view key,
             std::string_view way_out) {
  if (section.find(key) != nullptr) return;
  section.scope().complain(entry,
                           fmt::format("{}: '{}' is missing; {}", section.path(), key, way_out));
}

constexpr std::string_view kMakeSecret =
    "make one with `openssl rand -hex 32 > link.secret && chmod 600 link.secret`, give both "
    "daemons the same, and add secret_file: link.secret";

// Both, or none.
void read_identity(const Section& tls, const Entry& entry, Tls& out) {
  if (tls.find("certificate") == nullptr && tls.find("key") == nullptr) return;
  require(tls, entry, "certificate", "add certificate: FILE.pem, which the key is for");
  require(tls, entry, "key", "add key: FILE.pem, that of the certificate");
  Tls::Identity identity;
  if (read_path(tls, "certificate", identity.certificate) && read_path(tls, "key", identity.key))
    out.certificates.push_back(std::move(identity));
}

// Of the section `link`, whose addresses are read: `tls` is there where one of them is under it.
void check_tls(const Section& link, const Entry& entry, bool is_needed, bool has_tls_address) {
  const Entry* const tls = link.find("tls");
  if (tls != nullptr && !has_tls_address) {
    link.scope().complain(*tls, fmt::format("{}: no address of the link is under TLS; write "
                                            "tls://..., or leave 'tls' out",
                                            link.path_of("tls")));
  }
  if (tls == nullptr && is_needed) {
    link.scope().complain(
        entry, fmt::format("{}: an address is under TLS and needs a certificate; add tls: "
                           "{{certificate: FILE.pem, key: FILE.pem, client_ca: FILE.pem}}",
                           link.path()));
  }
}

void read_common(const Section& section, const Entry& entry, Link& link) {
  require(section, entry, "secret_file", kMakeSecret);
  if (section.find("secret_file") != nullptr)
    read_path(section, "secret_file", link.tls.secret_file);
  section.read("timeout", DurationRule{kLeastTimeout}, link.timeout);
}

}  // namespace

void read_link(const Section& section, GroupSource& source) {
  const Entry* const entry = section.find("link");
  if (entry == nullptr) return;
  Link& link = source.group.link;
  const Section own = section.section("link", kLinkKeys);
  require(own, *entry, "listen", "add listen: tls://*:7272");
  read_link_addresses(own, source);
  read_common(own, *entry, link);
  const bool has_tls = std::ranges::any_of(link.listen, &Listen::is_tls);
  check_tls(own, *entry, has_tls, has_tls);
  const Entry* const tls_entry = own.find("tls");
  if (tls_entry == nullptr) return;
  const Section tls = own.section("tls", kListenTlsKeys);
  require(tls, *tls_entry, "certificate", "add certificate: FILE.pem");
  read_identity(tls, *tls_entry, link.tls);
  if (tls.find("client_ca") == nullptr) return;
  read_path(tls, "client_ca", link.tls.client_ca);
  link.tls.client_certificates = ClientCertificates::required;
}

void read_remote_gateway(const Section& section, Group& group) {
  const Entry& entry = *section.find("gateway");
  const Section own = section.section("gateway", kRemoteKeys);
  require(own, entry, "connect",
          "add connect: [tls://HOST:PORT], which the gateway group has under link.listen");
  const Scope& scope = own.scope();
  Link& link = group.link;
  each_text(
      own, "connect", kConnectExpected,
      [&](const std::string& text, const Node& node, const std::string& path) {
        const auto target = parse_target(text, scope.document.folder);
        if (!target) return scope.complain(node, path + ": " + target.problem());
        const bool twice = std::ranges::find(link.connect, (*target).text, &LinkTarget::text) !=
                           link.connect.end();
        if (twice)
          return scope.complain(node, fmt::format("{}: {} is there twice", path, (*target).text));
        if (link.connect.size() == kMostTargets)
          return scope.complain(node, fmt::format("{}: more than {}", path, kMostTargets));
        link.connect.push_back(*target);
      });
  read_common(own, entry, link);
  check_tls(own, entry, false, std::ranges::any_of(link.connect, &LinkTarget::tls));
  const Entry* const tls_entry = own.find("tls");
  if (tls_entry == nullptr) return;
  const Section tls = own.section("tls", kConnectTlsKeys);
  read_identity(tls, *tls_entry, link.tls);
  if (tls.find("ca") != nullptr) read_path(tls, "ca", link.tls.client_ca);
  tls.read("server_name", TextRule{"the name that the gateway's certificate is for"},
           link.server_name);
}

}  // namespace appserver::config
