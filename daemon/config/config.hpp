// What a configuration file says, typed. Plain immutable values; loading has no side effects beyond
// reading the files.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "os/address_range.hpp"

namespace appserver::config {

using std::chrono::milliseconds;

struct Bytes {
  std::uint64_t value = 0;
  friend bool operator==(Bytes, Bytes) = default;
};

// An address to listen on, from "http://127.0.0.1:8080", "ws://[::1]:80", "frame://*:80",
// "udp://*:53" or "tls://unix:run/api.sock". Host names are not resolved: an address is a literal,
// "*" (both families), or "localhost" (127.0.0.1).
struct Listen {
  // Or ws, text, frame, tcp, udp; under TLS https, wss, text+tls, frame+tls, tls.
  std::string scheme = "http";
  std::string host;        // literal address without brackets, or "*"; empty for a unix socket
  std::uint16_t port = 0;  // 0: any free one
  std::filesystem::path unix_path;  // absolute; empty unless a unix socket
  std::string text;  // canonical form, for messages and as the identity of the listener
  // Set where business workers of other daemons come in: the worker of this slot alone is there.
  std::optional<std::uint32_t> link_slot;
  bool is_unix() const { return !unix_path.empty(); }
  bool is_tls() const { return plain_scheme() != scheme; }
  // What is spoken within TLS, or without it: "http" of https, "tcp" of tls.
  std::string_view plain_scheme() const;
  bool is_http() const { return plain_scheme() == "http"; }
  bool is_udp() const { return scheme == "udp"; }
  // Whether a client could mean either: both are one address, whatever the protocol, or one takes
  // in the other, as * does all of a port. The kernel then refuses the second, unless both are
  // opened at the same time.
  bool overlaps(const Listen& other) const;
  friend bool operator==(const Listen&, const Listen&) = default;
};

// What becomes of a rollout whose canary saw too little traffic to judge by.
enum class Inconclusive { proceed, roll_back, wait };

struct Canary {
  std::uint32_t slots = 0;  // replaced first and watched; 0: no canary
  milliseconds hold{30'000};
  std::uint32_t min_requests = 100;  // fewer answered by the canary in `hold` are inconclusive
  Inconclusive on_inconclusive = Inconclusive::proceed;
  friend bool operator==(const Canary&, const Canary&) = default;
};

struct Reload {
  std::uint32_t surge = 1;
  milliseconds start_timeout{30'000};
  milliseconds min_ready{0};
  milliseconds drain_timeout{30'000};
  std::string probe;                 // a path such as "/healthz"; empty: no probe
  milliseconds deadline{1'800'000};  // of the group's whole rollout, a canary's hold not counted
  milliseconds confirm_within{
      120'000};                      // a crash-loop so soon after its rollout reverts it; 0: never
  Bytes reserve_memory{};            // to be left free by the surge
  milliseconds close_spread{5'000};  // WebSockets that do not move are closed over so long
  Canary canary;
  friend bool operator==(const Reload&, const Reload&) = default;
};

// When a worker is replaced by a fresh one of the same build; 0: never for that reason.
struct Recycle {
  std::uint64_t max_requests = 0;
  Bytes max_memory{};
  milliseconds max_lifetime{0};
  friend bool operator==(const Recycle&, const Recycle&) = default;
};

struct Limits {
  std::uint32_t max_connections = 10'000;  // per worker
  Bytes max_body{10ull << 20};
  milliseconds header_timeout{10'000};
  milliseconds idle_timeout{75'000};
  // Of connections that carry messages or bytes.
  Bytes max_message{1ull << 20};        // one message, in either direction
  Bytes send_buffer{1ull << 20};        // what may wait for a peer before `send` takes no more
  milliseconds send_timeout{30'000};    // a peer that takes none of it is cut
  milliseconds stream_idle_timeout{0};  // without a byte in either direction; 0: never
  milliseconds ping_interval{30'000};   // a WebSocket silent for so long is pinged; 0: never
  friend bool operator==(const Limits&, const Limits&) = default;
};

// Whether clients are asked for a certificate; an optional one that is presented must be good, too.
enum class ClientCertificates { none, optional, required };
enum class TlsVersion { v1_2, v1_3 };

// Of all TLS addresses of a group; paths are absolute.
struct Tls {
  struct Identity {
    std::filesystem::path certificate;  // PEM: the server's, then those between it and a root
    std::filesystem::path key;
    friend bool operator==(const Identity&, const Identity&) = default;
  };

  std::vector<Identity> certificates;  // chosen by SNI, the first by default; empty: no TLS
  ClientCertificates client_certificates = ClientCertificates::none;
  std::filesystem::path client_ca;  // PEM; empty where clients are not asked
  TlsVersion min_version = TlsVersion::v1_2;
  std::filesystem::path secret_file;  // of a Link: what both ends know; then all else may be empty
  bool is_used() const { return !certificates.empty() || !secret_file.empty(); }
  friend bool operator==(const Tls&, const Tls&) = default;
};

// Whether each connection of a group begins with a PROXY header that says whose it is.
struct ProxyProtocol {
  bool enabled = false;
  std::vector<os::AddressRange> from;  // those who may say so; empty where it is not enabled
  friend bool operator==(const ProxyProtocol&, const ProxyProtocol&) = default;
};

// Of HTTP answers, with gzip for clients that take it.
struct Compress {
  bool enabled = false;
  // "type/subtype", lower case; one '*' in the subtype stands for any text.
  std::vector<std::string> types{
      "text/*",          "application/json",  "application/*+json", "application/javascript",
      "application/xml", "application/*+xml", "application/wasm",   "image/svg+xml"};
  Bytes min_size{1024};     // of a body whose length is known
  std::uint32_t level = 6;  // 1 (fast) to 9 (small)
  friend bool operator==(const Compress&, const Compress&) = default;
};

// A gateway holds connections and takes what comes over them to the workers of business groups.
enum class GroupKind { plain, gateway, business };

// What becomes of a message whose business worker ended before it had acknowledged it.
enum class Delivery { at_least_once, at_most_once };

// Of a group of kind gateway.
struct Gateway {
  Delivery delivery = Delivery::at_least_once;
  milliseconds park_timeout{30'000};  // that a message waits where there is no business worker
  Bytes park_memory{64ull << 20};     // that wait in one worker before nothing more is read
  std::uint32_t ping_limit = 0;       // silent limits.ping_interval before a client is cut; 0: none
  std::string ping_data;              // sent to what is no WebSocket; empty: nothing
  // Users who may send to its clients by the control socket, beside those who operate the daemon.
  std::vector<std::string> may_push;
  friend bool operator==(const Gateway&, const Gateway&) = default;
};

// Where a business worker finds a gateway worker of another daemon.
struct LinkTarget {
  bool tls = false;
  std::string host;                 // a name, or a literal address without brackets
  std::uint16_t port = 0;           // of the worker of slot 0; those of the others follow it
  std::filesystem::path unix_path;  // absolute; empty unless a unix socket
  std::string text;                 // canonical form, for messages
  // Of the worker of a slot. Nullopt: no port is left for it.
  std::optional<LinkTarget> of_slot(std::uint32_t slot) const;
  friend bool operator==(const LinkTarget&, const LinkTarget&) = default;
};

// Of gateway and business groups in different daemons.
struct Link {
  std::vector<Listen> listen;       // of a gateway group, for slot 0; see Group::addresses()
  std::vector<LinkTarget> connect;  // of a business group
  // Paths: of the secret; of a gateway group's certificate, and of the authorities of business
  // workers; of a business group's certificate, if any, and of the gateway's authorities.
  Tls tls;
  std::string server_name;       // that a gateway's certificate is for; empty: the host's
  milliseconds timeout{30'000};  // without a word of the peer
  bool is_used() const { return !tls.secret_file.empty(); }
  friend bool operator==(const Link&, const Link&) = default;
};

struct Rlimit {
  std::optional<std::uint64_t> soft;  // nullopt: unlimited
  std::optional<std::uint64_t> hard;
  friend bool operator==(const Rlimit&, const Rlimit&) = default;
};

struct Group {
  std::string name;
  GroupKind kind = GroupKind::plain;
  std::string of_gateway;        // of a business group: its gateway group; empty: see `link`
  Link link;                     // to groups of other daemons
  Gateway gateway;               // of a gateway group
  std::filesystem::path plugin;  // absolute path of the .so that was asked for; empty: a gateway
  std::vector<Listen> listen;
  std::uint32_t count = 1;  // `auto` is resolved to the usable processors
  bool reloadable = true;
  std::string settings = "{}";  // the `settings:` subtree as JSON
  Reload reload;
  Limits limits;
  Recycle recycle;
  Tls tls;
  ProxyProtocol proxy_protocol;
  Compress compress;
  milliseconds hang_timeout{30'000};  // without a turn of its loop a worker is ended; 0: never
  std::string user;                   // empty: that of the supervisor
  std::string group;                  // empty: the primary group of `user`
  std::optional<int> nice;
  std::vector<int> cpu_affinity;  // empty: as inherited; worker n gets entry n modulo size
  std::map<std::string, Rlimit>
      rlimits;  // nofile, core, as, nproc, stack, data, fsize, cpu, memlock
  std::map<std::string, std::string> environment;  // added to the boot environment
  std::filesystem::path working_directory;         // empty: that of the supervisor
  bool dropped = false;  // described by a NAME.yaml in the plugin folder, not by a file of ours
  // `listen`, then those of `link` for each of `count` workers.
  std::vector<Listen> addresses() const;
  friend bool operator==(const Group&, const Group&) = default;
};

enum class LogLevel { debug, info, warning, error };
enum class LogFormat { text, json, journald };

struct Log {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;
  friend bool operator==(const Log&, const Log&) = default;
};

struct Plugins {
  std::filesystem::path dir;  // the drop directory, absolute
  std::uint32_t keep = 5;     // newest builds that stay in the store beside those in use
  bool watch = false;         // reload when files in `dir` change; groups may be dropped there, too
  friend bool operator==(const Plugins&, const Plugins&) = default;
};

// The process that carries messages between workers and keeps their keys.
struct Bus {
  // Three quarters of it for keys and values, a quarter for messages that wait for their workers.
  Bytes memory{64ull << 20};
  friend bool operator==(const Bus&, const Bus&) = default;
};

struct Daemon {
  std::filesystem::path control_socket;  // absolute
  std::filesystem::path state_dir;       // absolute
  Plugins plugins;
  Bus bus;
  Log log;
  friend bool operator==(const Daemon&, const Daemon&) = default;
};

// What lies in the plugin folder and is no group of the configuration; for who keeps running what
// was dropped there before.
struct LeftOut {
  struct Mistake {
    std::string name;  // NAME of NAME.yaml
    std::string text;  // the first of its problems, as file:line:column, and how many more
  };

  std::string folder;  // "is missing" or "cannot be read: ...": nothing of it is known; or empty
  std::vector<Mistake> mistakes;            // by name
  std::vector<std::string> without_plugin;  // each NAME of a NAME.yaml without NAME.so, by name
};

struct Config {
  std::filesystem::path file;  // absolute path it came from; empty without one
  Daemon daemon;
  std::vector<Group> groups;  // in the order of the file, then the dropped ones by name
  LeftOut left_out;           // where the plugin folder is watched
};

}  // namespace appserver::config
